# make run    brings up the ten-node `atmn` network and returns when its nodes agree on a first block
# make test   everything that is checked: format, lints, dependencies, unit, network and client tests
# make stop   stops that network; its data stays
# make release  the optimised binary, target/release/kette

.PHONY: run stop test check build release setup clients clean

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

clean:
	$(CARGO) clean
