# `make` without a target lists the targets. `demo` and `test` install missing tools. They print the names first.

.DEFAULT_GOAL := help
.PHONY: help demo test clients load machines build release check fmt lint docs deny clean dist reproducible dist-test deb rpm repo package-lint selinux-check install uninstall pages later package-test package-check matrix-test matrix-check test-trees vm-test vm-check boots ami-check fleet fleet-check forge-check fuzz mutants bench bench-guard

# The folder in which rustup installs cargo, and the folders of sshd and ip. The PATH of a login shell may not contain
# them.
CARGO_HOME ?= $(HOME)/.cargo
export PATH := $(PATH):$(CARGO_HOME)/bin:/usr/local/sbin:/usr/sbin:/sbin

TARGET := $(or $(CARGO_TARGET_DIR),target)
CLIENTS := $(CURDIR)/target/clients
LOGINS ?= 1000
AT_ONCE ?= 50
PAIRS ?= 4
# Tests wait for half of their time. So four run at once on two processors.
THREADS ?= $(shell expr $$(nproc) \* 2)

# sshd, network namespaces and logins of other users need root. Compiling does not: it runs as the caller.
ROOT := $(filter 0,$(shell id -u))
AS_ROOT := $(if $(ROOT),,sudo)
SUDO_RUNNER = --config "target.'cfg(unix)'.runner = ['sudo', '-E', 'env', 'PATH=$(PATH)']"
RUNNER := $(if $(ROOT),,$(if $(shell command -v sudo),$(SUDO_RUNNER)))

help: ## List these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

demo: ## Push a key, log in with it, and see three other keys refused, all on this machine
	@tests/setup demo
	@echo "Building (two minutes or more the first time) ..."
	@cargo build --quiet --locked --release --package eic-agent --package eic-emulator
	@$(AS_ROOT) env "PATH=$(CLIENTS)/bin:$$PATH" "$(TARGET)/release/eic-emulator" demo --agent "$(TARGET)/release/eic-agent"

test: ## Run every test: unit tests, doctests, and real logins over a real sshd
	@tests/setup test
	@echo "Building and testing ..."
	EIC_TEST_CLIENTS="$(CLIENTS)" RUST_TEST_THREADS="$(THREADS)" cargo test --locked --workspace --no-fail-fast $(RUNNER)

clients: ## Push a key with the JavaScript SDK, and log in with Ansible: clients that are heavy to install
	@tests/setup clients
	@echo "Building and testing ..."
	EIC_TEST_CLIENTS="$(CLIENTS)" cargo test --locked --test clients $(RUNNER)

load: ## Run LOGINS=1000 logins, AT_ONCE=50, over a real sshd with faults in metadata, and print the figures
	@tests/setup test
	@echo "Building ..."
	@cargo build --quiet --locked --release --package eic-agent
	EIC_LOAD_LOGINS="$(LOGINS)" EIC_LOAD_AT_ONCE="$(AT_ONCE)" EIC_LOAD_AGENT="$(abspath $(TARGET))/release/eic-agent" \
	    CI=true cargo test --quiet --locked --test suite $(RUNNER) -- --nocapture --exact --test-threads=1 \
	    load::login_whose_evidence_was_served_succeeds_and_leaves_nothing_behind \
	    load::login_with_a_memory_whose_evidence_was_served_succeeds_and_leaves_nothing_behind

# Before a release, compare 2,000 machines: make machines MACHINES=2000 FROM=SEED. An interrupted run names the next seed.
MACHINES = 200
FROM = 1
machines: release ## Compare doctor, status, explain and config with logins on broken machines, MACHINES=200 of them random, from the seed FROM=1
	@tests/setup matrix-test
	@tests/machines $(MACHINES) $(FROM)

bench: ## Measure runs, logins and, for comparison, a minimal program: prints a table, writes target/bench
	@tests/setup bench
	@tests/bench/run show

bench-guard: ## Fail if a run of the shipped binary costs more than tests/bench/budget.toml allows
	@tests/setup bench
	@tests/bench/run guard

build: ## Build for debugging
	cargo build --locked --workspace

release: ## Build the binary to install: target/release/eic-agent
	cargo build --locked --release --package eic-agent

check: fmt lint docs ## Check formatting, lints and documentation, with warnings denied

fmt:
	@tests/setup check
	cargo fmt --all --check

lint:
	@tests/setup check
	cargo clippy --locked --workspace --all-targets -- -D warnings

docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items

deny: ## Check the dependencies: licences, duplicates, sources, known advisories
	@tests/setup deny
	cargo deny --locked check bans licenses sources
	@if timeout 120 cargo deny fetch db >target/deny-fetch.log 2>&1; then \
	    echo "cargo deny check advisories"; cargo deny --locked check --disable-fetch advisories; \
	else \
	    echo "WARNING: the advisory database cannot be fetched here: ADVISORIES WERE NOT CHECKED (target/deny-fetch.log)" >&2; \
	fi

# Before a release, fuzz for 30 minutes.
MINUTES = 30
fuzz: ## Fuzz for MINUTES=30 in all, print the speed of each target; a crash fails, and its input is kept
	@tests/setup fuzz
	@tests/fuzz/run $(MINUTES) $(FUZZ_TARGETS)

mutants: ## Change the core's code, one mutation at a time, and check that a unit test fails
	@tests/setup mutants
	@tests/mutants/run

pages: ## Make man pages, shell completions and licence texts, in target/pages
	cargo run --quiet --locked --package eic-pages -- "$(TARGET)/pages" "$$(packaging/build/source-date-epoch)"

dist: ## Build the static binaries for x86_64 and arm64, their bills of materials and checksums, in target/dist
	@tests/setup dist
	@packaging/build/dist

reproducible: dist ## Build target/dist again in other folders: every file must be identical
	@packaging/build/reproducible "$(TARGET)/dist" $(ARCHITECTURES)

dist-test: dist ## Test the binaries of target/dist, those for arm64 in an emulator
	@tests/setup test
	@packaging/build/test-binaries

deb: dist pages ## Build the .deb packages of both architectures, in target/packages
	@tests/setup packages
	@packaging/package deb

rpm: dist pages ## Build the .rpm packages of both architectures, in target/packages
	@tests/setup packages
	@packaging/package rpm

repo: ## Make signed apt and yum repositories from target/packages, in target/repo
	@tests/setup repo
	@packaging/repository

# The tests of upgrades use the same programs in packages with a higher version.
later: dist pages
	@tests/setup packages
	@VERSION=99.0.0 OUT=target/package-test/later packaging/package deb rpm

package-test: deb rpm later ## Install, upgrade and remove the packages with every form of sshd_config, with real logins
	@$(MAKE) --no-print-directory package-check

# The targets that end with -check do not make the packages again, so they can run at the same time.
package-check:
	@tests/setup package-test
	@cargo build --quiet --locked --release --package eic-emulator
	@$(AS_ROOT) env EIC_EMULATOR="$(abspath $(TARGET))/release/eic-emulator" EIC_PACKAGES="$(abspath $(TARGET))/packages" \
	    tests/packages/run

# Debian suites to test. Empty: all of them.
SUITES =
matrix-test: deb ## Test the .deb on Debian 11, 12, 13 and testing, with their own OpenSSH, and print a table
	@$(MAKE) --no-print-directory matrix-check SUITES="$(SUITES)"

matrix-check:
	@tests/setup matrix-test
	@cargo build --quiet --locked --release --package eic-emulator
	@$(AS_ROOT) env "CI=$(CI)" EIC_EMULATOR="$(abspath $(TARGET))/release/eic-emulator" EIC_PACKAGES="$(abspath $(TARGET))/packages" \
	    tests/packages/run --matrix $(SUITES)

test-trees: ## Make the Debian trees that package-test, matrix-test and vm-test start from
	@tests/setup matrix-test
	@$(AS_ROOT) tests/packages/run --trees

vm-test: deb later ## Boot a virtual EC2 instance, provision it, log in in every way, and print the checks
	@$(MAKE) --no-print-directory vm-check VM_RUN="$(VM_RUN)"

vm-check:
	@tests/setup vm-test
	@cargo build --quiet --locked --release --package eic-emulator
	@$(AS_ROOT) env EIC_EMULATOR="$(abspath $(TARGET))/release/eic-emulator" EIC_PACKAGES="$(abspath $(TARGET))/packages" \
	    tests/vm/run $(VM_RUN)

boots: VM_RUN = --boots $(PAIRS)
boots: vm-test ## Measure what the unit adds to the boot time: PAIRS=4 pairs of boots, with and without the unit

ami-check: ## Check the Packer template, the Image Builder component, cloud-init and Ansible with their own tools
	@tests/setup ami
	@packaging/ami/check

fleet: deb rpm later ## Test packaging/fleet: documents, template, queries on two engines, report, with their real tools
	@$(MAKE) --no-print-directory fleet-check FLEET="$(FLEET)"

# Test modules to run. Empty: all of them.
FLEET =
fleet-check:
	@tests/setup fleet
	@cargo build --quiet --locked --release --package eic-agent --package eic-emulator
	@$(AS_ROOT) env "PATH=$$PATH" EIC_AGENT="$(abspath $(TARGET))/release/eic-agent" \
	    EIC_EMULATOR="$(abspath $(TARGET))/release/eic-emulator" EIC_PACKAGES="$(abspath $(TARGET))/packages" \
	    tests/fleet/run $(FLEET)

forge-check: ## Check .github (workflows, Dependabot, issue forms) with the tools that read such files
	@tests/setup forge
	@.github/check

package-lint: ## Check target/packages with lintian and rpmlint, and the unit with systemd: warnings are errors
	@tests/setup package-lint
	@packaging/lint

selinux-check: ## Compile the SELinux module with a real policy, and check that the result has its rules
	@tests/setup package-lint
	@packaging/selinux/check

install: ## Install the agent below DESTDIR and prefix, for an image that you make by hand
	@packaging/install

uninstall: ## Remove the files that install made
	@packaging/install --remove

clean: ## Remove all build output
	cargo clean
