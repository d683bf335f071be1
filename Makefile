# Every target can be the first one ever run: what it needs is set up on the way.
# Wanted on the machine: git, make, Python 3.11 or newer. Everything else goes into .venv/; `make test` names its own needs.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

BIN := .venv/bin
VIEWER := vieweratlas_dagster/viewer
LOCKS := infrastructure/dependencies/locks
PAGE := $(VIEWER)/dist/index.html
PAGE_SOURCES := $(shell find $(VIEWER)/src -type f) $(wildcard $(VIEWER)/*.html $(VIEWER)/*.json $(VIEWER)/*.ts $(VIEWER)/*.css) $(VIEWER)/.npmrc

# Arguments for the demo, for example: make demo ARGS="--seed 2 --days 5"
ARGS ?=
# The data folder that `make ui` opens: data/demo, data/live, or data for your own imports.
DATA ?= data/demo
PORT ?= 3000

FAST := tests/test_docs.py tests/test_suite.py tests/collector_service \
    $(addprefix tests/vieweratlas_dagster/,analysis checks curation imports lake publish)

TEST_NEEDS := need-git+java+chromium+postgres
.PHONY: help setup viewer pictures demo live ui test test-fast lint types unit viewer-test bench bench-collector bench-dagster bench-analysis bench-overlap bench-communities bench-atlas bench-vod bench-page bench-spark fuzz chaos long-test aws-test images images-test lock audit sbom clean

help: ## list the targets
	@echo 'make TARGET, and where it makes sense ARGS="..." (options), DATA=folder, PORT=number'
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 19

setup: .venv/installed $(PAGE) ## install everything into .venv/ and build the atlas page

.venv/installed: $(LOCKS)/requirements-build.lock $(LOCKS)/requirements.lock pyproject.toml infrastructure/setup/venv.sh
	bash infrastructure/setup/venv.sh
	@touch $@

# The programs that a target needs from the machine: the first thing that is checked, and all of them at once.
need-%:
	@bash infrastructure/setup/needs.sh python $(subst +, ,$*)

need-terraform:
	@bash infrastructure/setup/terraform.sh >/dev/null

# 500 MB that only the Spark engine and its tests need.
.venv/spark: $(LOCKS)/requirements-spark.lock | need-java .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

# What the page is measured beside: one file of it, and none of what it depends on.
.venv/page-bench: $(LOCKS)/requirements-page-bench.lock | .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

viewer: $(PAGE) ## build the atlas page
$(PAGE): $(PAGE_SOURCES) | .venv/installed
	bash infrastructure/setup/npm.sh ci
	bash infrastructure/setup/npm.sh run build
	@touch $@

pictures: need-chromium setup ## the pictures of the documents, from the example
	$(BIN)/python -m tests.browser.pictures

demo: setup ## the whole platform on a simulated Twitch, minutes, ends with an atlas
	$(BIN)/vieweratlas demo $(ARGS)

live: setup ## collect from the real Twitch until Ctrl-C, then map it
	$(BIN)/vieweratlas live $(ARGS)

ui: setup ## the Dagster UI on what the demo made
	$(BIN)/vieweratlas ui --data-dir $(DATA) --port $(PORT)

test: $(TEST_NEEDS) lint types viewer-test unit ## everything that must hold

test-fast: .venv/installed ## what to run after each edit: the units that need no service, about a minute on two quiet cores
	$(BIN)/pytest --numprocesses 2 -m "not slow and not long" $(FAST) --ignore=tests/collector_service/simulator \
	    --ignore=tests/collector_service/test_end_to_end.py --ignore=tests/collector_service/live/test_service.py

lint: .venv/installed ## style, and who may import whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/shellcheck --external-sources --source-path=SCRIPTDIR .ci/run $$(find infrastructure -name '*.sh')

types: .venv/installed ## static types
	$(BIN)/mypy

viewer-test: $(PAGE) ## the page's own tests
	bash infrastructure/setup/npm.sh run check
	bash infrastructure/setup/npm.sh test

unit: $(TEST_NEEDS) setup .venv/spark .venv/page-bench ## all Python tests, from units to the browser
ifeq ($(ARGS),)
	$(BIN)/pytest --numprocesses 3 --durations=10 -m "not story and not long"
else
	$(BIN)/pytest $(ARGS)
endif

bench: .venv/installed ## how fast it is, against what it should be: minutes, on a quiet machine
	@# One after another, and the next even when one misses a bar.
	@$(MAKE) --no-print-directory --jobs=1 --keep-going bench-collector bench-dagster bench-analysis bench-vod bench-page

bench-collector: .venv/installed ## its first part: the collector, ARGS="--quick --only lag"
	$(BIN)/python -m tests.bench.collector $(ARGS)

bench-dagster: need-postgres .venv/installed ## its second part: the operator's desk, ARGS="--quick --only run"
	$(BIN)/python -m tests.bench.dagster_desk $(ARGS)

bench-analysis: .venv/installed ## its third part: the three below, ARGS="--quick"
	@$(MAKE) --no-print-directory --jobs=1 --keep-going bench-overlap bench-communities bench-atlas

bench-overlap: .venv/installed ## the overlap engine, ARGS="--quick --only growth"
	$(BIN)/python -m tests.bench.overlap $(ARGS)

bench-communities: .venv/installed ## the communities, ARGS="--quick"
	$(BIN)/python -m tests.bench.communities $(ARGS)

bench-atlas: .venv/installed ## the whole analysis, from presence to the atlas, ARGS="--quick"
	$(BIN)/python -m tests.bench.analysis $(ARGS)

bench-vod: .venv/installed ## its fourth part: chat of past broadcasts, ARGS="--quick --only parsing"
	$(BIN)/python -m tests.bench.vod $(ARGS)

bench-page: need-chromium setup .venv/page-bench ## the page in a browser, beside Plotly's: ARGS="--quick"
	$(BIN)/python -m tests.bench.page $(ARGS)

bench-spark: .venv/spark ## how the Spark engine grows beside the local one
	$(BIN)/python -m tests.bench.spark_growth $(ARGS)

fuzz: .venv/installed ## every parser of untrusted input against hostile bytes, 5 minutes: ARGS="--seconds 60 --seed 2"
	$(BIN)/python -m tests.security.fuzz $(ARGS)

chaos: .venv/installed ## a simulated day of random faults, 7 minutes: ARGS="--hours 24 --seed 1"
	$(BIN)/python -m tests.faults.chaos $(ARGS)

long-test: $(TEST_NEEDS) setup .venv/spark .venv/page-bench ## the tests that the suite has a shorter one for: ten minutes
	$(BIN)/pytest -m long tests

aws-test: need-terraform .venv/installed ## the operators' scripts against moto, from an empty account to an empty account: 25 minutes
	$(BIN)/pytest tests/aws/test_scripts.py

images: ## the container images, vieweratlas-collector:local and vieweratlas-dagster:local
	infrastructure/docker/build.sh

images-test: need-buildah+mmdebstrap .venv/installed ## build both with buildah, and run what is in them: minutes
	$(BIN)/pytest -s -o faulthandler_timeout=4000 tests/images/built_images.py

lock: .venv/installed ## resolve the locked dependencies anew from pyproject.toml
	infrastructure/dependencies/lock.sh

audit: .venv/installed ## ask the public databases for known vulnerabilities of what is locked
	$(BIN)/python infrastructure/dependencies/audit.py

sbom: .venv/installed ## list what is locked as CycloneDX, in build/sbom/
	infrastructure/dependencies/sbom.sh

clean: ## remove everything that was installed or built; data/ stays
	rm -rf .venv $(VIEWER)/node_modules $(VIEWER)/dist
