//! What the ways to peers are like, as numbers: the argument of `kette_setLinks`, and `links.json` in a node's directory.

use kette_types::{PeerId, limits::PEERS_MAX};
use serde::{Deserialize, Serialize};

/// The ways from this node to peers that are not as fast as the machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Links {
    /// Bits per second of all that the node sends to peers, without a bound if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uplink: Option<u64>,
    /// Way by way.
    #[serde(default)]
    pub list: Vec<Link>,
}

/// The way from this node to one peer; the way back is the peer's own.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Link {
    /// To whom.
    pub peer: PeerId,
    /// One-way latency, milliseconds.
    #[serde(default)]
    pub latency_ms: f64,
    /// Mean of an exponential extra delay, milliseconds.
    #[serde(default)]
    pub jitter_ms: f64,
    /// Share of packets lost, 0 to 1: a delay until they are sent again.
    #[serde(default)]
    pub loss: f64,
    /// Bits per second, without a bound if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<u64>,
    /// Nothing passes on this way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

impl Links {
    /// Checks numbers that came from outside.
    ///
    /// # Errors
    /// Says which number is out of its bounds.
    pub fn check(&self) -> Result<(), String> {
        if self.list.len() > LINKS_MAX {
            return Err(format!("{} links, at most {LINKS_MAX}", self.list.len()));
        }
        if self.uplink == Some(0) {
            return Err("uplink is 0 bits per second: cut links instead".to_owned());
        }
        for link in &self.list {
            let peer = link.peer.short();
            for (name, ms) in [("latencyMs", link.latency_ms), ("jitterMs", link.jitter_ms)] {
                if !(0.0..=DELAY_MAX_MS).contains(&ms) {
                    return Err(format!(
                        "{name} = {ms} to {peer} is not between 0 and {DELAY_MAX_MS}"
                    ));
                }
            }
            if !(0.0..=1.0).contains(&link.loss) {
                return Err(format!("loss = {} to {peer} is not between 0 and 1", link.loss));
            }
            if link.bandwidth == Some(0) {
                return Err(format!("bandwidth to {peer} is 0 bits per second: cut it instead"));
            }
        }
        Ok(())
    }
}

/// Ways at most, shaped or cut: a node has fewer peers, and networks of a laboratory are not larger.
pub(crate) const LINKS_MAX: usize = PEERS_MAX * 10;
/// Longest latency, milliseconds: a minute.
pub const DELAY_MAX_MS: f64 = 60_000.0;

#[cfg(test)]
mod tests {
    use super::*;
    use kette_types::B256;

    #[test]
    fn numbers_out_of_bounds_are_named() {
        let link = Link {
            peer: PeerId(B256::repeat_byte(1)),
            latency_ms: 80.0,
            jitter_ms: 0.5,
            loss: 0.01,
            bandwidth: Some(1),
            cut: false,
        };
        let check = |link: Link| Links { uplink: None, list: vec![link] }.check();
        assert_eq!(check(link), Ok(()));
        for (bad, word) in [
            (Link { latency_ms: -1.0, ..link }, "latencyMs"),
            (Link { latency_ms: f64::NAN, ..link }, "latencyMs"),
            (Link { jitter_ms: 60_001.0, ..link }, "jitterMs"),
            (Link { loss: 1.01, ..link }, "loss"),
            (Link { bandwidth: Some(0), ..link }, "bandwidth"),
        ] {
            assert!(check(bad).unwrap_err().contains(word), "{word}");
        }
        let many = Links { uplink: None, list: vec![link; LINKS_MAX + 1] };
        assert!(many.check().unwrap_err().contains("at most"));
        assert!(Links { uplink: Some(0), list: Vec::new() }.check().is_err());
    }

    #[test]
    fn what_is_not_said_is_not_shaped() {
        let peer = PeerId(B256::repeat_byte(1));
        let json = format!("{{\"list\":[{{\"peer\":\"{peer}\",\"latencyMs\":80}}]}}");
        let links: Links = serde_json::from_str(&json).unwrap();
        let link = links.list[0];
        assert_eq!(
            (link.latency_ms, link.loss, link.bandwidth, link.cut),
            (80.0, 0.0, None, false)
        );
        assert_eq!(
            serde_json::from_str::<Links>(&serde_json::to_string(&links).unwrap()).unwrap(),
            links
        );
        assert!(serde_json::from_str::<Links>("{\"links\":[]}").is_err());
    }
}
