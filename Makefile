# Every recipe is one line that a person could type. `make` alone lists the targets.
PYTHON ?= python3
BIN := .local/venv/bin
PYTEST = TEST_SERVICES=$${TEST_SERVICES:-embedded} $(BIN)/pytest
MEMBERS := shared-schemas service-chassis intake-api assignment-worker mailer-worker
LOCK = $(or $(wildcard .local/uv/bin/uv),uv) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate $(addsuffix /pyproject.toml,$(MEMBERS)) $(addprefix --no-emit-package ,$(MEMBERS))
.DEFAULT_GOAL := help
.PHONY: help bootstrap run up down status clean test schemathesis chaos chaos-short chaos-cluster soak mutation-matrix lint type fmt migrate openapi settings lock

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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

test: bootstrap ## run all tests, those of the parts three files at a time; ARGS="-k name" chooses, one at a time
	@$(if $(ARGS),$(PYTEST) $(ARGS),$(PYTEST) --numprocesses 3 --dist loadfile --ignore-glob "tests-e2e/test_*.py" && $(PYTEST) $(wildcard tests-e2e/test_*.py))

schemathesis: bootstrap ## what the OpenAPI document promises, asked of the running service for long: EXAMPLES=100 SEED=7
	@TEST_SERVICES=$${TEST_SERVICES:-embedded} SCHEMATHESIS_PHASES=examples,coverage,fuzzing,stateful SCHEMATHESIS_EXAMPLES=$(or $(EXAMPLES),50) SCHEMATHESIS_SEED=$(or $(SEED),$$(date +%s)) $(BIN)/pytest -s intake-api/tests/integration/test_schemathesis.py

chaos: bootstrap ## faults on purpose, with seeds, resumable: SCENARIO=F30 SEED=7 RUNS=20 LEADS=200; what ran and what lacks: `make chaos ARGS=report`
	@PYTHONPATH=tests-e2e $(BIN)/python -m chaos $(or $(ARGS),run $(if $(SCENARIO),--scenario "$(SCENARIO)") $(if $(SEED),--seed $(SEED)) $(if $(RUNS),--runs $(RUNS)) $(if $(LEADS),--leads $(LEADS)))

chaos-short: bootstrap ## one run of each of the sixteen scenarios that say most
	@PYTHONPATH=tests-e2e $(BIN)/python -m chaos run --short $(ARGS)

mutation-matrix: bootstrap ## break the product in eight ways, each must turn its test red; ARGS="--only NAME", ARGS=--json
	@PYTHONPATH=tests-e2e $(BIN)/python -m mutation $(ARGS)

chaos-cluster: bootstrap ## three broker nodes: leader killed, follower killed, leader cut off; SCENARIO=C01 SEED=7 RUNS=3
	@PYTHONPATH=tests-e2e $(BIN)/python -m chaos run --cluster $(if $(SCENARIO),--scenario "$(SCENARIO)") $(if $(SEED),--seed $(SEED)) $(if $(RUNS),--runs $(RUNS)) $(ARGS)

soak: bootstrap ## every fault at random under load, then the checker: MINUTES=30 SEED=7 RATE=4; ARGS="--into README.md"
	@PYTHONPATH=tests-e2e $(BIN)/python -m chaos soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) $(if $(RATE),--rate $(RATE)) $(ARGS)

lint: bootstrap ## check style and import rules
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports

type: bootstrap ## check types, strictly
	@failed=0; for part in $(MEMBERS) deploy tests-model tests-e2e conftest.py; do echo $$part; $(BIN)/mypy $$part || failed=1; done; exit $$failed

fmt: bootstrap ## format, and fix what can be fixed
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

migrate: bootstrap ## bring the three databases up to date
	@$(BIN)/python -m deploy.local migrate

openapi: bootstrap ## write docs/openapi.json anew from the code
	@$(BIN)/python -m intake_api.contract --output docs/openapi.json

settings: bootstrap ## show every setting with type, default and meaning; ARGS=--json for programs
	@$(BIN)/python -m deploy.local settings $(ARGS)

lock: bootstrap ## write both locks anew from the pyproject files: developers' and the images'
	@$(LOCK) --group dev --output-file requirements.lock && $(LOCK) --constraints requirements.lock --output-file deploy/requirements.runtime.lock

# --- Docker: PROFILE=dev-app puts the product's processes into containers too, beside the infrastructure ---
PROFILE ?= dev-infra
SERVICES_OF_dev-infra := postgres rabbitmq seaweedfs mail
SERVICES_OF_dev-app :=
COMPOSE := docker compose --file docker-compose.yml --file deploy/compose/ports.yml
TEST_COMPOSE := $(COMPOSE) --project-name leads-test --env-file deploy/compose/test.env
.PHONY: dev-stack-up dev-stack-run dev-stack-down test-stack-up test-stack-down test-docker

dev-stack-up: $(if $(filter dev-infra dev-app,$(PROFILE)),,no-such-PROFILE-as-$(PROFILE)) ## the infrastructure in Docker; PROFILE=dev-app: everything
	@$(COMPOSE) up --build --wait $(SERVICES_OF_$(PROFILE))

dev-stack-run: bootstrap dev-stack-up ## the infrastructure in Docker, the four processes here; Ctrl-C stops these
	@exec $(BIN)/python -m deploy.compose run

dev-stack-down: ## stop what is in Docker; the data is kept
	@$(COMPOSE) down --remove-orphans

test-stack-up: ## the infrastructure for tests in Docker: own project, own ports (8310 ...)
	@$(TEST_COMPOSE) up --wait $(SERVICES_OF_dev-infra)

test-stack-down: ## stop it and take its data away
	@$(TEST_COMPOSE) down --volumes --remove-orphans

test-docker: bootstrap ## bring the composed stack up and run the journey against it, also scaled; needs Docker
	@$(BIN)/pytest deploy/compose/tests $(ARGS)
