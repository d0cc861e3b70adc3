# The only entry point; plain `make` prints what there is. The work is done by scripts/.
#
# Variables: BROKER=kafka|pipes|docker to choose the broker yourself; PORT_SHIFT=100 moves all ports
# of a second checkout out of the way; or each for itself:
#   API_PORT=8000 HOOK_PORT=8001 STRIPE_PORT=12111 KAFKA_PORT=9092 KAFKA_CONTROLLER_PORT=9093
#   METRICS_PORT=9101 (the first of five)
# `up` remembers them; the other commands need none.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help up down status logs demo kafka build test sim sim-mutations sim-exhaustive check \
  bench-http bench-api fuzz-api clean

help: ## this text
	@echo 'Keeps the customers of a catalog and of Stripe in step, both ways.'
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | \
	  while IFS='|' read -r name text; do printf '%-21s %s\n' "$$name" "$$text"; done
	@echo
	@echo 'Variables: PORT_SHIFT=100 moves every port, for a second checkout; BROKER=kafka|pipes|docker;'
	@echo '           API_PORT=8000 HOOK_PORT=8001 STRIPE_PORT=12111 KAFKA_PORT=9092 METRICS_PORT=9101'
	@echo 'Settings:  .env (see .env.example); without STRIPE_SECRET_KEY a local Stripe is used.'

up: ## build and start everything, wait until it is ready; again does nothing
	@scripts/local up

down: ## stop everything that up started; the data stays
	@scripts/local down

status: ## each program: state, pid, memory, port, what waits
	@scripts/local status

logs: ## follow all logs
	@scripts/local logs

demo: ## a guided round trip, both sides shown after each step
	@scripts/demo

kafka: ## start the broker alone: the real Apache Kafka as a local process
	@scripts/local kafka

build: ## build all programs to target/release
	@scripts/cargo build --release --workspace --bins

test: ## all tests, on the real broker where Java and Maven are
	@scripts/test

sim: ## simulated histories of the sync; SEED= MIX= for one, HISTORIES= of each mix
	@scripts/cargo run --release -q -p tests --bin sim -- $(if $(SEED),--seed $(SEED)) \
	  $(if $(HISTORIES),--histories $(HISTORIES)) $(if $(MIX),--mix $(MIX)) \
	  $(if $(ACTIONS),--actions $(ACTIONS))

sim-mutations: ## break each rule of the sync in turn: the simulator has to notice
	@scripts/cargo run --release -q -p tests --bin sim -- --mutations

sim-exhaustive: ## every history of small scopes, up to 3 edits and 2 faults; some minutes
	@GLIBC_TUNABLES=glibc.malloc.tcache_count=127 scripts/cargo run --release -q -p tests --bin sim -- --exhaustive

bench-http: ## what the HTTP door costs: beside bare tiny_http, in one run
	@scripts/cargo run --release -p tests --bin http-bench

fuzz-api: ## thousands of made-up requests against the API, held against its own description
	@scripts/fuzz-api

check: ## formatting and lints
	@scripts/cargo fmt --all --check
	@scripts/cargo clippy --release --workspace --all-targets -- -D warnings

bench-api: ## measure catalog-api: a million customers imported, listed, searched, exported
	@scripts/cargo build --release -p catalog-api -p tests --bin catalog-api --bin bench-api
	@target/release/bench-api $(BENCH)

clean: ## stop everything and delete what was built; .run, with the data, stays
	@scripts/local down
	@scripts/cargo clean
