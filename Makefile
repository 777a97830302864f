# Two commands do everything on a fresh Debian or Ubuntu machine with Rust: `make demo` and `make test`.
# On other systems .ci/packages names what to install by hand.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

STAGE := .ci/stage
CARGO ?= cargo
LISTEN ?= 127.0.0.1:6432
# On a real Kubernetes; they come last, and are left out loudly where it can't be had.
CLUSTER_SUITES := control_plane operator end_to_end
SUITES := $(filter-out $(CLUSTER_SUITES),$(patsubst tests/tests/%.rs,%,$(wildcard tests/tests/*.rs)))

.PHONY: help demo test bench bench-cluster cluster cluster-down cluster-suites $(CLUSTER_SUITES) kubernetes packages-cluster fmt lint dockerfiles doc generate fuzz build unit suites newer-fresh suites-all tools-all $(SUITES) tour check-fmt packages packages-drivers packages-tools packages-bench rust

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z_-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: rust packages ## Install what is missing, build, and walk through a preview of a sample shop
	$(CARGO) build --release --bin previewpg
	target/release/previewpg demo --listen $(LISTEN)

test: rust packages packages-drivers packages-tools packages-cluster kubernetes check-fmt lint dockerfiles doc build unit suites newer-fresh tour cluster-suites ## Everything that CI runs

bench: rust packages packages-bench ## Compare production, a full copy, pgbouncer and a preview, side by side
	$(CARGO) build --release --bins
	target/release/bench

bench-cluster: rust packages packages-cluster kubernetes ## Measure previews on a real Kubernetes: time to Ready, memory
	$(CARGO) build --release --bins
	target/release/bench-cluster

cluster: rust packages packages-cluster kubernetes ## Start a Kubernetes on this machine with the chart installed; make cluster-down ends it
	$(CARGO) build --bin previewpg --bin previewpg-operator
	tests/cluster/develop up

cluster-down: ## End it
	tests/cluster/develop down

fmt: ## Format the code
	$(CARGO) fmt --all

lint: ## Clippy, warnings are errors
	$(STAGE) clippy $(CARGO) clippy --workspace --all-targets --locked -- -D warnings

dockerfiles: ## Look the Dockerfiles over
	$(STAGE) dockerfiles .ci/hadolint Dockerfile Dockerfile.postgres

doc: ## Documentation, warnings are errors
	RUSTDOCFLAGS="-D warnings" $(STAGE) doc $(CARGO) doc --workspace --no-deps --document-private-items --locked --quiet

generate: ## Write the generated files anew: the CRD, the chart's README, the API reference
	UPDATE=1 $(CARGO) test --package previewpg-operator --test generated --locked --quiet

fuzz: ## Fuzz each target for a minute (needs nightly Rust and `cargo install cargo-fuzz`); SECONDS_EACH=n
	cd fuzz; for target in $$($(CARGO) +nightly fuzz list); do \
		mkdir -p "corpus/$$target"; \
		case "$$target" in lexer|reader) seeds=../tests/scripts;; *) seeds=;; esac; \
		$(CARGO) +nightly fuzz run "$$target" "corpus/$$target" $$seeds -- -max_total_time=$${SECONDS_EACH:-60}; \
	done

check-fmt:
	$(STAGE) format $(CARGO) fmt --all --check

build:
	$(STAGE) build $(CARGO) build --workspace --all-targets --locked --quiet

unit: ## Unit tests, of everything but the suites
	PREVIEWPG_KUBE="$$(tests/cluster/possible 2>/dev/null && tests/cluster/program || true)" \
		$(STAGE) unit $(CARGO) test --workspace --exclude previewpg_tests --locked --quiet
	$(STAGE) harness $(CARGO) test --package previewpg_tests --lib --bins --locked --quiet

suites: $(SUITES) ## The suites against real servers; one by its name: make equivalence

$(SUITES):
	$(STAGE) $@ $(CARGO) test --package previewpg_tests --test $@ --locked --quiet

newer-fresh: packages packages-drivers ## The overlay, a preview's life, every script and some random ones with PostgreSQL 18 as fresh over the machine's own as production
	newer="$$(.ci/postgres18)"; for suite in overlay lifecycle equivalence random; do \
		PREVIEWPG_SEEDS=40..60 PREVIEWPG_TEST_FRESH_BIN="$$newer" $(STAGE) "$$suite on 18" $(CARGO) test --package previewpg_tests --test $$suite --locked --quiet; \
	done

suites-all: build packages-drivers ## Other people's test suites, also those that take long, and docs/coverage.md anew
	target/debug/suites run
	target/debug/suites regress
	target/debug/suites coverage

tools-all: build packages-tools ## ORMs, migration tools and applications on a production with data, also those that take long
	$(STAGE) tools $(CARGO) test --package previewpg_tests --test tools --locked --quiet -- --include-ignored --nocapture

cluster-suites: $(CLUSTER_SUITES) ## The suites on a real Kubernetes; one by its name: make control_plane

# They wait more than they work: more of them at a time than there are cores.
$(CLUSTER_SUITES): %: kubernetes
	@if tests/cluster/possible || [ -n "$${CI:-}" ]; then \
		$(if $(filter operator,$@),PREVIEWPG_TEST_FRESH_BIN="$$(.ci/postgres18)") $(STAGE) $@ $(CARGO) test --package previewpg_tests --test $@ --locked --quiet -- --test-threads=6; \
	else \
		echo "== $@: LEFT OUT"; \
	fi

kubernetes:
	@if tests/cluster/possible 2>/dev/null || [ -n "$${CI:-}" ]; then $(STAGE) kubernetes tests/cluster/program; fi

tour: ## The tour, with a non-zero status if it shows anything wrong
	$(STAGE) tour target/debug/previewpg demo --exit --listen 127.0.0.1:0

rust:
	@.ci/rust

packages:
	@.ci/packages build postgres

packages-drivers:
	@.ci/packages drivers

packages-tools:
	@.ci/packages tools

packages-cluster:
	@if [ "$$(id -u)" -eq 0 ]; then .ci/packages cluster; fi

packages-bench:
	@.ci/packages bench
