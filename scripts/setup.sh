#!/usr/bin/env bash
# Installs what is missing: `setup.sh build` a C compiler; `setup.sh test` also cargo-nextest, and what tests hold
# files against: Prometheus with promtool, and systemd-analyze.
# Says what it does; does nothing twice.
set -euo pipefail

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

need_rust="1.95"

if ! command -v cargo >/dev/null; then
    echo "Rust is missing: install it with rustup (version ${need_rust} or newer), then run this again." >&2
    exit 2
fi
have=$(rustc --version | cut -d' ' -f2)
if [ "$(printf '%s\n%s\n' "$need_rust" "$have" | sort -V | head -n 1)" != "$need_rust" ]; then
    echo "Rust ${need_rust} or newer is needed, this is ${have}: run 'rustup update stable'." >&2
    exit 2
fi
if ! command -v cc >/dev/null; then
    echo "installing a C compiler (SQLite and secp256k1 are built from source)" >&2
    if ! command -v apt-get >/dev/null; then
        echo "no C compiler and no apt-get: install gcc or clang, then run this again." >&2
        exit 2
    fi
    as_root apt-get update -qq && as_root apt-get install -y -qq build-essential
fi
if [ "${1:-test}" = test ] && ! cargo nextest --version >/dev/null 2>&1; then
    echo "installing cargo-nextest" >&2
    cargo install --locked --quiet cargo-nextest
fi
if [ "${1:-test}" = test ]; then
    missing=()
    if ! command -v promtool >/dev/null; then missing+=(prometheus); fi
    if ! command -v systemd-analyze >/dev/null; then missing+=(systemd); fi
    if [ "${#missing[@]}" -gt 0 ]; then
        echo "installing ${missing[*]} (tests scrape a network and check the files for it)" >&2
        if ! command -v apt-get >/dev/null; then
            echo "no apt-get: install ${missing[*]}, then run this again." >&2
            exit 2
        fi
        as_root apt-get update -qq && as_root apt-get install -y -qq --no-install-recommends "${missing[@]}"
        # The distribution starts a server of its own; tests start theirs.
        if [[ " ${missing[*]} " == *" prometheus "* ]] && [ -d /run/systemd/system ]; then
            as_root systemctl disable --now prometheus >&2
        fi
    fi
fi
