# Everything one does with this checkout. On a bare Debian 12 machine with Rust each target does all of its
# own set-up; `test`, `bench` and `demo` need root for that and for the network namespaces they work in.
#
#   make build   the programs as they are shipped
#   make rpm     the packages for CentOS 7 up to Fedora, into target/package; make deb for Debian
#   make test    all tests, against real podman, Consul and grpcurl
#   make results the table in docs/ways-in.md, from the tests that hold it against what they find
#   make manual  the man pages and the completions in packaging/, from what the programs take
#   make lint    everything that is checked without running the product
#   make demo    two containers of two users talking IPv6, in a throw-away host
#   make soak    half an hour of users coming and going while all around them fails
#   make fuzz    strangers' octets, a minute for each place where some are read
#   make reproducible   the packages once more, elsewhere, which must give the same octets
#   make bench   how long an attach takes, beside CNI and beside the bare netlink operations

CARGO ?= cargo
CACHE := $(or $(V6POD_TEST_CACHE),/var/cache/v6pod-test)

# The shim has a profile of its own: small, and quick to start.
build_shim := $(CARGO) build --package v6pod-client --bin v6pod-shim --profile shim

# The setuid program links nothing but the C library, and only in this profile.
build_connect := $(CARGO) build --package v6pod-connect --profile shim

# A second daemon, which tests can kill at each step of an attach. The first has none of that compiled in.
build_fault := $(CARGO) build --package v6podd --bin v6podd-fault --features fault-injection

# What runs in the tests' hosts besides.
build_programs := $(CARGO) build --package v6podd --bin v6podd --package v6pod --bin v6pod

.PHONY: build programs rpm deb reproducible test results manual soak fuzz lint format clippy doc deny advisories machete demo bench clean prepare

build:
	$(CARGO) build --release --package v6podd --package v6pod
	$(build_shim)
	$(build_connect)

# What the packages hold, for old systems too.
programs:
	integration/prepare package
	CARGO=$(CARGO) packaging/build

rpm: programs
	packaging/rpm

deb: programs
	packaging/deb

reproducible: rpm deb
	packaging/reproduce

prepare:
	integration/prepare

test: prepare rpm deb
	$(build_shim)
	$(build_connect)
	$(build_fault)
	$(build_programs)
	$(CARGO) test --workspace --no-fail-fast

# The same test as in `make test`, where it lasts a minute.
soak: prepare
	$(CARGO) build --package v6podd --package v6pod --package v6pod-integration
	V6POD_SOAK=$(or $(V6POD_SOAK),1800) $(CARGO) test --package v6pod-integration --test soak -- --nocapture

fuzz:
	fuzz/run $(or $(V6POD_FUZZ),60)

results: prepare
	$(build_shim)
	$(build_programs)
	V6POD_BLESS=1 $(CARGO) test --package v6pod-integration --test engines matrix::

manual:
	V6POD_BLESS=1 $(CARGO) test --package v6pod-integration --test manual what_the_programs_take

lint: format clippy doc deny machete

format:
	$(CARGO) fmt --all -- --check

clippy:
	$(CARGO) clippy --workspace --all-targets --features v6podd/fault-injection -- --deny warnings

doc:
	RUSTDOCFLAGS='--deny warnings --allow rustdoc::private-intra-doc-links' $(CARGO) doc --workspace --no-deps --document-private-items

deny:
	integration/prepare lint
	PATH="$(CACHE)/lint/bin:$$PATH" $(CARGO) deny --workspace check bans licenses sources

# Asks the RustSec database, which is fetched from its repository.
advisories:
	integration/prepare lint
	PATH="$(CACHE)/lint/bin:$$PATH" $(CARGO) deny --workspace check advisories

machete:
	integration/prepare lint
	PATH="$(CACHE)/lint/bin:$$PATH" $(CARGO) machete

demo: prepare
	$(build_shim)
	$(CARGO) build --release --package v6podd --package v6pod --package v6pod-integration
	$(CARGO) run --release --quiet --package v6pod-integration --bin demo

bench: prepare
	$(build_shim)
	$(CARGO) build --release --package v6podd --package v6pod
	$(CARGO) bench --quiet --package v6pod-integration --bench attach --bench guard

clean:
	$(CARGO) clean
