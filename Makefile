# What people type. Each target says what it does in `make help`; CI runs the same ones (`.ci/run`).
# `make X ARGS='…'` passes arguments on where a target takes them.

PYTHON ?= python3
CARGO ?= cargo
DOCKER ?= docker
IMAGE ?= resnetd
ARGS ?=
# What an image says of where it comes from.
LABELS = --build-arg REVISION=$(shell git rev-parse HEAD 2>/dev/null) --build-arg CREATED=$(shell git log -1 --format=%cI 2>/dev/null)
# avx2: as if the processor had nothing newer.
AS ?=

# Inference is private: no engine that these targets start reports to anybody.
export ORT_DISABLE_TELEMETRY = 1

.DEFAULT_GOAL := help
.PHONY: help run build runtime runtime-openvino test test-page test-interop test-fleet check-deploy fmt lint deny advisories sbom reproducible check-arm64 ci bench bench-preprocess bench-serve bench-arithmetic bench-hostile bench-memory bench-forms bench-cascade bench-tracing bench-keys fleet-sim fleet-check fuzz fuzz-targets image image-openvino clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: runtime ## Fetch ONNX Runtime, build the release binary, serve (ARGS='--models DIR')
	$(CARGO) run --release --locked -- serve $(ARGS)

build: ## Build the release binary
	$(CARGO) build --release --locked

runtime: ## Fetch ONNX Runtime into .runtime/ (hash-checked; does nothing when it is there)
	@$(PYTHON) runtime/fetch.py onnxruntime

runtime-openvino: runtime ## Fetch the OpenVINO plugin into .runtime/openvino/ (optional, x86_64)
	@$(PYTHON) runtime/fetch.py openvino

test: runtime ## Run the tests
	$(CARGO) test --locked $(ARGS)

test-page: runtime ## Drive the page in Chromium (needs Debian's chromium; ARGS='part of a test's name', FILES=1: assets from the working tree)
	$(CARGO) build --locked
	tests/page/run.sh $(ARGS)

test-interop: runtime ## Check against the real libraries (PyTorch, Chainer, …: 6 GB from PyPI)
	$(CARGO) build --locked
	tests/interop/run.sh $(ARGS)

test-fleet: build ## Replicas behind HAProxy, nginx and Envoy: restarts, kills, frozen, slow and full ones under load (ARGS='--proxy haproxy --restarts 10 --replicas 4 --namespaces')
	tests/fleet/run.sh $(ARGS)

check-deploy: ## Check every file under deploy/ (ARGS='--only proxy,systemd', '--schemas DIR': CustomResourceDefinitions of KServe, KEDA, the Prometheus operator)
	@deploy/check.sh $(ARGS)

fmt: ## Format the code
	$(CARGO) fmt

lint: ## Check format, clippy and the docs, warnings denied
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- --deny warnings
	RUSTDOCFLAGS='--deny warnings' $(CARGO) doc --locked --no-deps --document-private-items

deny: ## Check the licences and sources of the dependencies (needs cargo-deny)
	@$(CARGO) deny --version >/dev/null 2>&1 || { echo 'error: cargo-deny is missing: cargo install --locked cargo-deny' >&2; exit 1; }
	$(CARGO) deny --locked check bans licenses sources

advisories: ## Look the dependencies up in RustSec's database (needs cargo-deny and the network)
	$(CARGO) deny --locked check advisories

sbom: ## Write the bill of materials, CycloneDX: target/sbom/resnetd.cdx.json (ARGS='--schema DIR' checks it, '--openvino')
	$(PYTHON) release/sbom.py --output target/sbom/resnetd.cdx.json $(ARGS)

reproducible: ## Build the release binary twice, in two folders, and compare (ARGS: where, 5 GB)
	release/reproducible.sh $(ARGS)

check-arm64: ## Check the code for 64-bit ARM (needs `rustup target add aarch64-unknown-linux-gnu` and gcc-aarch64-linux-gnu)
	CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
		$(CARGO) check --locked --target aarch64-unknown-linux-gnu $(ARGS)

ci: ## Run what CI runs
	bash .ci/run

bench: build ## Measure everything beside its ceiling: target/bench/report.md and plots (ARGS='--quick', '--model DIR --image F')
	$(PYTHON) benches/report/report.py $(ARGS)

bench-preprocess: ## Decode, resize, crop and normalize, by kind of picture
	$(CARGO) bench --locked --bench preprocess

bench-serve: runtime ## Served throughput against a bare loop over the same session (ARGS='--model DIR --image F')
	$(CARGO) bench --locked --bench serve -- $(ARGS)

bench-arithmetic: runtime ## Served speed and answers of every version, cpu/fp32 against auto (ARGS='--model DIR --image F', AS=avx2)
	$(CARGO) bench --locked --no-run --bench arithmetic
	$(if $(AS),$(CC) -O2 -Wall -Wextra -shared -fPIC -o target/as_$(AS).so benches/support/as_$(AS).c)
	$(if $(AS),LD_PRELOAD=$(CURDIR)/target/as_$(AS).so) $(CARGO) bench --locked --bench arithmetic -- $(ARGS)

bench-hostile: build ## Honest clients beside hostile ones: who is answered, how late (ARGS='--seconds 60 --each')
	$(PYTHON) benches/hostile/traffic.py $(ARGS)

bench-cascade: build ## Accuracy and time of a cascade of two models (ARGS='--data DIR --first MODEL_FOLDER', or --calibration DIR for an int8 one)
	$(PYTHON) benches/cascade/cascade.py --binary target/release/resnetd $(ARGS)

bench-tracing: build ## What tracing 1 % of the requests costs, by turns (ARGS='--ratio 1.0 --away')
	$(PYTHON) benches/tracing/tracing.py --binary target/release/resnetd $(ARGS)

bench-keys: build ## What keys, tokens and TLS cost those who are let in, by turns (ARGS='--rounds 8 --seconds 4 --grpc')
	$(PYTHON) benches/keys/price.py --binary target/release/resnetd $(ARGS)

fleet-sim: ## Fleets of 10 to 10,000 replicas in simulation: target/bench/fleet.html (ARGS='--replica capacity.json --quick')
	$(CARGO) bench --locked --quiet --bench fleet_sim -- $(ARGS)

fleet-check: build ## Its predictions beside two and four real replicas behind real proxies (ARGS='--model DIR --image F --loads 0.2,0.4'; tests/fleet/run.sh has fetched Envoy)
	$(PYTHON) benches/fleet_sim/against_real.py target/release/resnetd --output target/bench/real.json $(ARGS)
	$(CARGO) bench --locked --quiet --bench fleet_sim -- --check target/bench/real.json

bench-forms: build ## What each protocol's form of a picture costs against a plain body (ARGS='--image F')
	$(PYTHON) benches/forms/forms.py $(ARGS)

bench-memory: build ## Peak memory under the worst load that the limits allow, in ten minutes (ARGS='--minutes 10')
	$(PYTHON) benches/hostile/memory.py $(ARGS)

fuzz: ## Fuzz a target (ARGS='picture 600'; needs cargo-fuzz; docs/fuzzing.md)
	$(PYTHON) fuzz/run.py $(ARGS)

fuzz-targets: ## Build the fuzz targets
	CARGO_TARGET_DIR=target $(CARGO) build --quiet --locked --manifest-path fuzz/Cargo.toml

image: ## Build the container image
	$(DOCKER) build $(LABELS) --tag $(IMAGE) $(ARGS) .

image-openvino: ## Build the container image with the OpenVINO plugin
	$(DOCKER) build $(LABELS) --target openvino --tag $(IMAGE):openvino $(ARGS) .

clean: ## Remove everything that was built or fetched
	$(CARGO) clean
	rm -rf .runtime
