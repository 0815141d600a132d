# `make` alone lists the targets. `demo` and `test` install what this machine lacks, saying what first.

.DEFAULT_GOAL := help
.PHONY: help demo test build release check fmt lint docs deny clean

# Where rustup puts cargo, and where sshd and ip are, though a login shell may not look there.
CARGO_HOME ?= $(HOME)/.cargo
export PATH := $(PATH):$(CARGO_HOME)/bin:/usr/local/sbin:/usr/sbin:/sbin

TARGET := $(or $(CARGO_TARGET_DIR),target)
CLIENTS := $(CURDIR)/target/clients

# sshd, network namespaces and other users' logins take root; compiling does not, and never runs as root for a
# caller who is not.
ROOT := $(filter 0,$(shell id -u))
AS_ROOT := $(if $(ROOT),,sudo)
SUDO_RUNNER = --config "target.'cfg(unix)'.runner = ['sudo', '-E', 'env', 'PATH=$(PATH)']"
RUNNER := $(if $(ROOT),,$(if $(shell command -v sudo),$(SUDO_RUNNER)))

help: ## List these targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

demo: ## Push a key, log in with it, see one refused: all on this machine
	@tests/setup demo
	@echo "Building (two minutes or more the first time) ..."
	@cargo build --quiet --locked --release --package eic-agent --package eic-emulator
	@$(AS_ROOT) env "PATH=$(CLIENTS)/bin:$$PATH" "$(TARGET)/release/eic-emulator" demo --agent "$(TARGET)/release/eic-agent"

test: ## Run every test: unit tests, doctests, and real logins over a real sshd
	@tests/setup test
	@echo "Building and testing ..."
	EIC_TEST_CLIENTS="$(CLIENTS)" cargo test --locked --workspace --no-fail-fast $(RUNNER)

build: ## Build for debugging
	cargo build --locked --workspace

release: ## Build the binary that is installed: target/release/eic-agent
	cargo build --locked --release --package eic-agent

check: fmt lint docs ## Formatting, lints and documentation, with warnings denied

fmt:
	@tests/setup check
	cargo fmt --all --check

lint:
	@tests/setup check
	cargo clippy --locked --workspace --all-targets -- -D warnings

docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items

deny: ## The dependencies: licences, duplicates, sources, known advisories
	@tests/setup deny
	cargo deny --locked check bans licenses sources
	@if timeout 120 cargo deny fetch db >target/deny-fetch.log 2>&1; then \
	    echo "cargo deny check advisories"; cargo deny --locked check --disable-fetch advisories; \
	else \
	    echo "WARNING: the advisory database cannot be fetched here: ADVISORIES WERE NOT CHECKED (target/deny-fetch.log)" >&2; \
	fi

clean: ## Remove everything that was built
	cargo clean
