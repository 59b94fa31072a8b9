# One environment in .venv, made with pinned versions. Nothing here asks a question.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
DATA   ?= soundings-data

.PHONY: help run cluster servers test test-torch lint type format bench soak docs clean

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(VENV)/base: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --progress-bar on --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/dev: $(VENV)/base
	$(PIP) install --progress-bar on --quiet --constraint constraints.txt --editable '.[dev,cluster,sources]'
	@touch $@

$(VENV)/cluster: $(VENV)/base
	$(PIP) install --progress-bar on --quiet --constraint constraints.txt --editable '.[cluster]'
	@touch $@

cluster: $(VENV)/cluster ## Install what workers over Kafka and Elasticsearch need (no torch)

run: $(VENV)/base ## Replay the sample through every stage and serve at http://127.0.0.1:8000
	$(BIN)/soundings up --config examples/sample.toml --replay service/samples/sample.jsonl --data-dir $(DATA)

test: $(VENV)/dev ## Install what the tests need and run them all
	sh tests/install-browser.sh
	sh tests/install-promtool.sh
	sh tests/install-servers.sh $(BIN)/python
	sh tests/install-deploy.sh
	$(BIN)/python -m pytest -n 3 --dist loadfile

servers: $(VENV)/dev ## Run a real Kafka and a real Elasticsearch on 127.0.0.1 until Ctrl-C
	sh tests/install-servers.sh $(BIN)/python
	PYTHONPATH=tests $(BIN)/python -m servers

$(VENV)/torch: $(VENV)/dev
	$(PIP) install --progress-bar on --quiet --constraint constraints.txt --editable '.[torch,dev,cluster,sources]'
	@touch $@

test-torch: $(VENV)/torch ## Install torch (6 GB) and run the tests of training and of the engine transformers
	$(BIN)/python -m pytest tests/torch tests/contract/test_sentiment_engine.py tests/e2e/test_own_model.py

lint: $(VENV)/dev ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(VENV)/dev ## Check types, strictly
	$(BIN)/mypy

format: $(VENV)/dev ## Rewrite the formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/dev ## Print every figure that the documents quote (the Hugging Face peer needs the torch extra)
	$(BIN)/python -m bench

soak: $(VENV)/dev ## Replay, then listen, each for twenty minutes with kills and faults; both end with exact books
	$(BIN)/python -m bench.soak --minutes 20
	$(BIN)/python -m bench.live_soak --minutes 20

docs: $(VENV)/base ## Write the generated pages and Kibana's objects again
	$(BIN)/python -m service.reference
	$(BIN)/python -m deploy.kibana

clean: ## Remove the environment and caches (data stays)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info build
