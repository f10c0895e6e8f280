# make run    brings up the ten-node `atmn` network and returns when its nodes agree on a first block
# make test   everything that is checked: format, lints, dependencies, unit, network and client tests
# make stop   stops that network; its data stays
# make nightly  thousands of simulated networks, hours
# make release  the optimised binary, target/release/kette

.PHONY: run stop test nightly check build release setup clients clean

CARGO ?= cargo
KETTE := target/debug/kette

run: build
	$(KETTE) net up --preset atmn

stop: build
	$(KETTE) net down

build:
	@scripts/setup.sh build
	$(CARGO) build --bin kette

release:
	@scripts/setup.sh build
	$(CARGO) build --release --bin kette

setup:
	@scripts/setup.sh test

check: setup
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	scripts/deny.sh

clients: setup
	@scripts/clients.sh

test: check build clients
	$(CARGO) nextest run --workspace --locked

# A night's share of seeds; each draws its whole configuration.
nightly: release
	target/release/kette sim run swarm --seeds 0..20000 --keep-going

clean:
	$(CARGO) clean
