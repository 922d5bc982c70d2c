# The two commands of a newcomer: `make run` and `make test`. `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EXTRAS := curation,training,evaluation,deployment,serving,transformer,local,demo,test

.PHONY: help install run run-bad test lint compile clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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

compile: install ## Write compiled/ afresh.
	$(BIN)/seatrial compile

clean: ## Stop the local Vertex AI and remove its state. Leaves .venv.
	test ! -x $(BIN)/seatrial || $(BIN)/seatrial local stop
	rm -rf .seatrial .typecheck
