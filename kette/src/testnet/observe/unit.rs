//! A systemd unit that runs one node per instance. `Type=exec`: the node does not notify systemd.

use std::path::Path;

/// Returns the template unit `kette@.service` for this program.
pub fn unit(program: &Path) -> String {
    UNIT.replace("@PROGRAM@", &program.display().to_string())
}

const UNIT: &str = "\
# A node per instance: its home is /var/lib/kette/NAME for kette@NAME.service.
[Unit]
Description=Kette node %i
Documentation=man:systemd.service(5)
Wants=network-online.target
After=network-online.target time-sync.target

[Service]
Type=exec
ExecStart=@PROGRAM@ node --home /var/lib/kette/%i --log-format json
Restart=on-failure
RestartSec=2s
TimeoutStopSec=30s
LimitNOFILE=65536
DynamicUser=yes
StateDirectory=kette/%i
StateDirectoryMode=0700
UMask=0077
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
";
