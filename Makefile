.DEFAULT_GOAL := help
.PHONY: help demo test check bench fuzz

help:
	@sed -n 's/^\([a-z]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r target text; do \
	  printf '%-14s %s\n' "$$target" "$$text"; done

demo: ## breaks a real nginx in nine ways and shows each in Prometheus; stays up until Ctrl-C (ONCE=1: ends by itself)
	@scripts/install-deps.sh
	@cargo build --locked --quiet --bins
	@cargo run --locked --quiet --example demo -- $(if $(ONCE),--once)

test: ## everything that must hold: checks, tests against the real programs, the demo
	@scripts/install-deps.sh test
	@$(MAKE) --no-print-directory check
	cargo test --locked
	@$(MAKE) --no-print-directory demo ONCE=1

check: ## format, lints, documentation, dependencies; runs no test
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --quiet
	cargo deny --locked check bans licenses sources

bench: ## speed against mtail, memory, delay
	@scripts/install-deps.sh bench
	cargo bench --locked

fuzz: ## every fuzz target for FUZZ_SECONDS (60); needs nightly Rust and cargo-fuzz
	@scripts/fuzz.sh
