# Stock Backtest. `make help` lists the targets.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamps
# One more than the two cores that all is meant for: many tests wait for a server or a browser.
JOBS ?= 3
# In the order of the folders: the small files come last, and no process ends long before another.
SHARED = -n $(JOBS) --dist loadfile --no-loadscope-reorder
# Files of the other folders that are as slow as the chaos suite, and run with it: the walk through
# every state of every page, the story of a first visit, chunks that fail, platforms that are ended
# and started again, clients that stall, and interleavings of which that suite draws more. They come
# first there: a long file that comes last runs alone.
SLOW = tests/e2e/test_every_page.py tests/e2e/test_story.py tests/e2e/test_sweep_failures.py \
  tests/integration/test_up.py tests/integration/test_slow_clients.py \
  tests/contract/test_state_machines.py
# A machine that stands still for seconds makes a browser or a server late. Such a test is tried
# again, and the summary counts each time that it was.
RERUNS ?= --reruns 2 --reruns-delay 3
# A container's image may set it. Then each of the hundreds of processes that the tests start would
# compile the whole product again, and each process of the test run all tests.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install run test test-k8s chaos lint audit format bench lock clean system-packages

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-18s %s\n", $$1, $$2}'

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: install it, or say PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(STAMP)/product: requirements.txt requirements-assets.txt setup.cfg pyproject.toml scripts/build_assets.py | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/python scripts/build_assets.py
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@echo "Compiling kernels, once: one to two minutes"
	@$(BIN)/python -c 'from tasks.kernel_cache import prepare_numba; prepare_numba(); from tasks.worker import warm_kernels; warm_kernels()'
	@mkdir -p $(STAMP) && touch $@

$(STAMP)/test: requirements-test.txt $(STAMP)/product
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-test.txt
	@mkdir -p $(STAMP) && touch $@

# Pages work without bundles too, only slower: no registry of npm is no reason not to run.
$(STAMP)/bundles: $(STAMP)/product scripts/build_bundles.py requirements-bundler.txt $(wildcard scripts/bundler/*) $(wildcard webapp/static/js/*/*.js webapp/templates/*.html)
	@$(BIN)/python scripts/build_bundles.py && touch $@ || echo "build_bundles: pages load their scripts one by one until then"

install: $(STAMP)/product $(STAMP)/bundles ## Install the product into $(VENV)

run: $(STAMP)/product $(STAMP)/bundles ## Bring up the whole product on embedded defaults
	$(BIN)/stock-backtest up $(UP_FLAGS)

system-packages:
	@scripts/install_system_packages

test: $(STAMP)/test $(STAMP)/bundles system-packages ## Run all tests but the slow suites
	$(BIN)/python -m pytest tests --ignore=tests/chaos $(addprefix --ignore=,$(SLOW)) $(SHARED) $(RERUNS) $(PYTEST_FLAGS)

# KUBECONFIG names the cluster; its context names a namespace in which Jobs may be created, deleted,
# and given a played pod; it has the accounts of k8s/base/service-accounts.yaml, without which the API
# server makes no pod.
test-k8s: $(STAMP)/test ## Run the Kubernetes suite against the cluster of KUBECONFIG
	@test -n "$$KUBECONFIG" || { echo "no cluster is configured: let KUBECONFIG name a kubeconfig; nothing was run"; exit 2; }
	$(BIN)/python -m pytest tests/chaos/test_kubernetes.py $(PYTEST_FLAGS)

chaos: $(STAMP)/test $(STAMP)/bundles system-packages ## The slow suites: break things on purpose, walk all pages; REPORT=docs/reliability.md writes what was seen
	$(BIN)/python -m pytest $(SLOW) tests/chaos $(SHARED) -n 2 $(if $(REPORT),--reliability-report=$(REPORT)) $(RERUNS) $(PYTEST_FLAGS)

lint: $(STAMP)/test ## Check style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

audit: $(STAMP)/test ## Check dependencies; with a network also for known holes (pip-audit)
	$(BIN)/python scripts/audit_dependencies.py
	@if $(BIN)/python -m venv $(VENV)/audit && $(VENV)/audit/bin/pip install --quiet --disable-pip-version-check pip-audit; then \
	  $(VENV)/audit/bin/pip-audit --require-hashes --disable-pip -r requirements.txt -r requirements-test.txt; \
	else echo "pip-audit cannot be had here: only the offline checks were made"; fi

format: $(STAMP)/test ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)/test $(STAMP)/bundles ## Measure speed against peers, side by side
	$(BIN)/python benchmarks/run_all.py
	$(BIN)/python benchmarks/bench_run_list.py

lock: ## Renew the lock files (needs uv)
	uv pip compile --quiet --upgrade --python-version 3.11 --generate-hashes --no-header --no-emit-index-url setup.cfg -o requirements.txt
	uv pip compile --quiet --upgrade --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --extra test setup.cfg -c requirements.txt -o requirements-test.txt
	uv pip compile --quiet --upgrade --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --extra notify --extra kubernetes setup.cfg requirements-image.in -c requirements.txt -o requirements-image.txt
	echo setuptools | uv pip compile --quiet --upgrade --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate - -o requirements-build.txt

clean: ## Remove everything that can be made again
	rm -rf $(VENV) build dist *.egg-info .stock-backtest .pytest_cache .mypy_cache .ruff_cache .hypothesis webapp/static/vendor webapp/static/bundles
