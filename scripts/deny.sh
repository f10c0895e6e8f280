#!/usr/bin/env bash
# Checks licences, sources and banned crates of all dependencies. Installs cargo-deny on first use.
set -euo pipefail

if ! cargo deny --version >/dev/null 2>&1; then
    echo "installing cargo-deny" >&2
    # Its speed does not matter here, so it is built without optimisation.
    cargo install --locked --quiet --debug --no-default-features cargo-deny
fi
cargo deny --all-features --offline check --hide-inclusion-graph bans licenses sources
