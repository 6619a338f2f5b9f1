# Every recipe is one line that a person could type. `make` alone lists the targets.
PYTHON ?= python3
BIN := .local/venv/bin
MEMBERS := shared-schemas service-chassis intake-api assignment-worker mailer-worker
LOCK = $(or $(wildcard .local/uv/bin/uv),uv) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate $(addsuffix /pyproject.toml,$(MEMBERS)) $(addprefix --no-emit-package ,$(MEMBERS))
.DEFAULT_GOAL := help
.PHONY: help bootstrap run up down status clean test lint type fmt migrate settings lock

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

bootstrap: ## make or update the environment in .local/ (the other targets do it by themselves)
	@$(PYTHON) -m deploy.local.bootstrap

run: bootstrap ## run the whole system in the foreground, without Docker; Ctrl-C stops it
	@exec $(BIN)/python -m deploy.local run

up: bootstrap ## the same in the background; returns when everything is ready
	@exec $(BIN)/python -m deploy.local up

down: bootstrap ## stop what `make up` or `make run` started; the data is kept
	@$(BIN)/python -m deploy.local down

status: bootstrap ## show what runs, with pids, restarts and ports
	@$(BIN)/python -m deploy.local status

clean: ## stop everything and remove .local/: data, logs, environment
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m deploy.local down; fi; rm -rf .local

test: bootstrap ## run all tests; ARGS="-k name" chooses
	@TEST_SERVICES=$${TEST_SERVICES:-embedded} $(BIN)/pytest $(ARGS)

lint: bootstrap ## check style and import rules
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports

type: bootstrap ## check types, strictly
	@failed=0; for part in $(MEMBERS) deploy tests-e2e conftest.py; do echo $$part; $(BIN)/mypy $$part || failed=1; done; exit $$failed

fmt: bootstrap ## format, and fix what can be fixed
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

migrate: bootstrap ## bring the three databases up to date
	@$(BIN)/python -m deploy.local migrate

settings: bootstrap ## show every setting with type, default and meaning; ARGS=--json for programs
	@$(BIN)/python -m deploy.local settings $(ARGS)

lock: bootstrap ## write both locks anew from the pyproject files: developers' and the images'
	@$(LOCK) --group dev --output-file requirements.lock && $(LOCK) --constraints requirements.lock --output-file deploy/requirements.runtime.lock
