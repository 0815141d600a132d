# `make` alone lists the targets. `demo` and `test` install what this machine lacks, saying what first.

.DEFAULT_GOAL := help
.PHONY: help demo test load build release check fmt lint docs deny clean dist reproducible dist-test deb rpm repo package-lint selinux-check install uninstall pages package-test matrix-test test-trees vm-test boots ami-check forge-check fuzz mutants bench bench-guard

# Where rustup puts cargo, and where sshd and ip are, though a login shell may not look there.
CARGO_HOME ?= $(HOME)/.cargo
export PATH := $(PATH):$(CARGO_HOME)/bin:/usr/local/sbin:/usr/sbin:/sbin

TARGET := $(or $(CARGO_TARGET_DIR),target)
CLIENTS := $(CURDIR)/target/clients
LOGINS ?= 1000
AT_ONCE ?= 50
PAIRS ?= 4

# sshd, network namespaces and other users' logins take root; compiling does not, and never runs as root for a
# caller who is not.
ROOT := $(filter 0,$(shell id -u))
AS_ROOT := $(if $(ROOT),,sudo)
SUDO_RUNNER = --config "target.'cfg(unix)'.runner = ['sudo', '-E', 'env', 'PATH=$(PATH)']"
RUNNER := $(if $(ROOT),,$(if $(shell command -v sudo),$(SUDO_RUNNER)))

help: ## List these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

demo: ## Push a key, log in with it, see one refused: all on this machine
	@tests/setup demo
	@echo "Building (two minutes or more the first time) ..."
	@cargo build --quiet --locked --release --package eic-agent --package eic-emulator
	@$(AS_ROOT) env "PATH=$(CLIENTS)/bin:$$PATH" "$(TARGET)/release/eic-emulator" demo --agent "$(TARGET)/release/eic-agent"

test: ## Run every test: unit tests, doctests, and real logins over a real sshd
	@tests/setup test
	@echo "Building and testing ..."
	EIC_TEST_CLIENTS="$(CLIENTS)" cargo test --locked --workspace --no-fail-fast $(RUNNER)

load: ## LOGINS=1000 logins, AT_ONCE=50, over a real sshd with faults in metadata: prints the figures
	@tests/setup test
	@echo "Building ..."
	@cargo build --quiet --locked --release --package eic-agent
	EIC_LOAD_LOGINS="$(LOGINS)" EIC_LOAD_AT_ONCE="$(AT_ONCE)" EIC_LOAD_AGENT="$(abspath $(TARGET))/release/eic-agent" \
	    CI=true cargo test --quiet --locked --test suite $(RUNNER) -- --nocapture --exact \
	    load::login_whose_evidence_was_served_succeeds_and_leaves_nothing_behind

bench: ## What a run and a login cost, beside a floor: a table, target/bench/bench.json and login.svg
	@tests/setup bench
	@tests/bench/run show

bench-guard: ## Fail when a run of the shipped binary costs more than tests/bench/budget.toml allows
	@tests/setup bench
	@tests/bench/run guard

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

# A release takes half an hour.
MINUTES = 30
fuzz: ## Fuzz for MINUTES=30 in all: prints each target's executions per second; a crash fails and is kept
	@tests/setup fuzz
	@tests/fuzz/run $(MINUTES) $(FUZZ_TARGETS)

mutants: ## Change the core's code in every way there is, one at a time: the tests must notice
	@tests/setup mutants
	@tests/mutants/run

pages: ## Make man pages, shell completions and licence texts, in target/pages
	cargo run --quiet --locked --package eic-pages -- "$(TARGET)/pages" "$$(packaging/build/source-date-epoch)"

dist: ## Build what is shipped, for x86_64 and arm64, in target/dist: static binaries, bills of materials, sums
	@tests/setup dist
	@packaging/build/dist

reproducible: dist ## Build it again in other folders: every file must come out the same
	@packaging/build/reproducible "$(TARGET)/dist" $(ARCHITECTURES)

dist-test: dist ## Test the shipped binaries themselves, arm64 by an emulator
	@tests/setup test
	@packaging/build/test-binaries

deb: dist pages ## Make the .deb of both architectures, in target/packages
	@tests/setup packages
	@packaging/package deb

rpm: dist pages ## Make the .rpm of both architectures, in target/packages
	@tests/setup packages
	@packaging/package rpm

repo: ## Make signed apt and yum repositories of target/packages, in target/repo
	@tests/setup repo
	@packaging/repository

# A later version of the same programs is what the upgrades are tested with.
package-test: deb rpm ## Install, upgrade and remove the packages, over every shape of sshd_config: real logins
	@tests/setup package-test
	@VERSION=99.0.0 OUT=target/package-test/later packaging/package deb rpm
	@cargo build --quiet --locked --release --package eic-emulator
	@$(AS_ROOT) env EIC_EMULATOR="$(abspath $(TARGET))/release/eic-emulator" EIC_PACKAGES="$(abspath $(TARGET))/packages" \
	    tests/packages/run

# All of them, or those that SUITES names.
SUITES =
matrix-test: deb ## The .deb on Debian 11, 12, 13 and testing, with their own OpenSSH: a table of what works
	@tests/setup matrix-test
	@cargo build --quiet --locked --release --package eic-emulator
	@$(AS_ROOT) env "CI=$(CI)" EIC_EMULATOR="$(abspath $(TARGET))/release/eic-emulator" EIC_PACKAGES="$(abspath $(TARGET))/packages" \
	    tests/packages/run --matrix $(SUITES)

test-trees: ## Make the Debian trees that package-test, matrix-test and vm-test begin with, which then find them
	@tests/setup matrix-test
	@$(AS_ROOT) tests/packages/run --trees

vm-test: deb ## Boot a virtual EC2 instance, provision it, log in by every way: a transcript of checks
	@tests/setup vm-test
	@VERSION=99.0.0 OUT=target/package-test/later packaging/package deb
	@cargo build --quiet --locked --release --package eic-emulator
	@$(AS_ROOT) env EIC_EMULATOR="$(abspath $(TARGET))/release/eic-emulator" EIC_PACKAGES="$(abspath $(TARGET))/packages" \
	    tests/vm/run $(VM_RUN)

boots: VM_RUN = --boots $(PAIRS)
boots: vm-test ## What the unit adds to a launch: PAIRS=4 of boots of that instance, with the unit and without

ami-check: ## Hold the Packer template, the Image Builder component, cloud-init and Ansible against their own tools
	@tests/setup ami
	@packaging/ami/check

forge-check: ## Check .github (workflows, Dependabot, issue forms) with the tools that read such files
	@tests/setup forge
	@.github/check

package-lint: ## What lintian and rpmlint say of target/packages, systemd of the unit: warnings are errors
	@tests/setup package-lint
	@packaging/lint

selinux-check: ## Compile the SELinux module with a real policy, and look for its rules there
	@tests/setup package-lint
	@packaging/selinux/check

install: ## Put the agent below DESTDIR and prefix, for an image made by hand
	@packaging/install

uninstall: ## Take away what install put there
	@packaging/install --remove

clean: ## Remove everything that was built
	cargo clean
