# The two commands of a newcomer: `make run` and `make test`. `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
NEWEST_SDK := .newest-sdk/environment/bin/python3
EXTRAS := curation,pii,training,evaluation,deployment,serving,transformer,local,bigquery-local,demo,test

.PHONY: help install run run-bad test test-newest-sdk lint compile clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## Make .venv with everything; does nothing when it is current.

$(STAMP): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "seatrial needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $@

run: install ## Train, compare, deploy: the whole life cycle on the demo reviews, on this machine.
	@$(BIN)/python -m seatrial.pipelines.demo

run-bad: install ## After make run: the same pipeline with new models that do harm in service, and are taken back.
	@$(BIN)/python -m seatrial.pipelines.demo bad

lint: install ## Check style, types, the borders between packages, and that compiled/ is current.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	@# mypy does not follow the import hook of an editable install: it is given the package tree as links.
	mkdir -p .typecheck/seatrial
	for package in components pipelines localvertex; do ln -sfn ../../$$package .typecheck/seatrial/$$package; done
	MYPYPATH=.typecheck $(BIN)/mypy -p seatrial.components -p seatrial.pipelines -p seatrial.localvertex
	$(BIN)/seatrial compile --check

test: lint ## Run the whole suite.
	$(BIN)/pytest --numprocesses 2 --dist loadfile

# Google's pipeline components keep the SDK below 2: it is laid over .venv, whose packages pip leaves alone. The snapshot
# of the API is by intention that of the SDK in constraints.txt; the cases of the namespace run the pytest of .venv.
test-newest-sdk: install ## Run the tests of the local Vertex AI with version 2.7 of Google's SDK.
	$(BIN)/python -c 'from pathlib import Path; from seatrial.localvertex.execution.overlay import with_overlay; \
	    with_overlay({"PATH": ""}, Path(".newest-sdk"))'
	$(NEWEST_SDK) -m pip install --quiet 'google-cloud-aiplatform==2.7.*'
	$(NEWEST_SDK) -P -m pytest --numprocesses 2 --dist loadfile tests/localvertex \
	    --ignore tests/localvertex/test_namespace.py \
	    --deselect tests/localvertex/test_api.py::test_the_snapshot_is_what_the_installed_client_packages_say

compile: install ## Write compiled/ afresh.
	$(BIN)/seatrial compile

clean: ## Stop the local Vertex AI and remove its state. Leaves .venv.
	test ! -x $(BIN)/seatrial || $(BIN)/seatrial local stop
	rm -rf .seatrial .typecheck .newest-sdk
