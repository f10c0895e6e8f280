# make run    brings up the ten-node `atmn` network and returns when its nodes agree on a first block
# make test   everything that is checked: format, lints, dependencies, unit, network and client tests
# make release  the optimised binary, target/release/kette

.PHONY: run stop test check build release setup clients clean

CARGO ?= cargo
KETTE := target/debug/kette

run: build
	$(KETTE) net up --preset atmn

stop: build
	$(KETTE) net down

build: setup
	$(CARGO) build --bin kette

release: setup
	$(CARGO) build --release --bin kette

setup:
	@scripts/setup.sh

check: setup
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	scripts/deny.sh

clients: setup
	@scripts/clients.sh

test: check build clients
	$(CARGO) nextest run --workspace --locked
	$(CARGO) test --workspace --doc --locked --quiet

clean:
	$(CARGO) clean
