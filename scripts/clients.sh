#!/usr/bin/env bash
# Installs the Node packages of the client tests and compiles their contract. Says what it does; does nothing twice.
set -euo pipefail
cd "$(dirname "$0")/../tests/clients"

need_node=20

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    if ! command -v apt-get >/dev/null; then
        echo "no Node.js and no apt-get: install Node.js ${need_node} or newer with npm, then run this again." >&2
        exit 2
    fi
    echo "installing Node.js" >&2
    apt-get update -qq && apt-get install -y -qq nodejs npm
fi
have=$(node --version)
have=${have#v}
if [ "${have%%.*}" -lt "$need_node" ]; then
    echo "Node.js ${need_node} or newer is needed, this is ${have}: install a newer one, then run this again." >&2
    exit 2
fi

# A mark beside what was made names what it was made from.
fresh() { # file-with-mark input...
    local mark=$1
    shift
    [ -f "$mark" ] && [ "$(cat "$mark")" = "$(cat "$@" | cksum)" ]
}

packages=(package.json package-lock.json .npmrc)
if ! fresh node_modules/.installed-from "${packages[@]}"; then
    echo "installing the Node packages of tests/clients" >&2
    npm ci --no-audit --no-fund --loglevel=error >&2
    cat "${packages[@]}" | cksum >node_modules/.installed-from
fi

sources=(compile.mjs package-lock.json hardhat/hardhat.config.cjs hardhat/solc.json hardhat/contracts/*.sol)
if ! fresh build/.made-from "${sources[@]}"; then
    echo "compiling the contract of tests/clients" >&2
    node compile.mjs
    # Here and not by each run, so that tests at the same time do not write the same files.
    (cd hardhat && HARDHAT_DISABLE_TELEMETRY_PROMPT=true CI=true ../node_modules/.bin/hardhat compile --quiet)
    cat "${sources[@]}" | cksum >build/.made-from
fi
