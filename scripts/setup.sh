#!/usr/bin/env bash
# Installs what is missing: `setup.sh build` a C compiler, `setup.sh test` cargo-nextest as well.
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
