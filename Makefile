# Everything a person does with a checkout. Needs python >= 3.11 with pip, and make; `make help` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
SOURCES := condahub channels_app environments_app mirrors_app tests benchmarks deploy manage.py
PYTEST := $(BIN)/python -m pytest
# As many test processes as cores help; each has a database of its own. The real parts wait for each other's processes: one more.
WORKERS ?= 2
REAL_WORKERS ?= 3

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help run dev ldap test test-fast test-database test-real test-long test-system check format bench soak screenshots vendor messages lock clean

help: ## list what make can do
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | awk -F ':.*?## ' '{printf "  make %-14s %s\n", $$1, $$2}'

run: $(VENV)/.run ## start the hub: PORT (8000), CONDAHUB_HOST, CONDAHUB_DATA (./data), CONDAHUB_DEMO=0
	@exec $(BIN)/python -m condahub.ops.supervise

dev: $(VENV)/.dev ## the same with debugging on, started again at every change of the code
	@CONDAHUB_DEBUG=1 exec $(BIN)/watchfiles --filter python --sigint-timeout 12 '$(BIN)/python -m condahub.ops.supervise' condahub channels_app environments_app mirrors_app

test: $(VENV)/.dev ## all tests but the long ones, on SQLite and on PostgreSQL
	@failed=0; for tier in test-fast test-database test-real; do $(MAKE) --no-print-directory $$tier || failed=1; done; exit $$failed

test-fast: $(VENV)/.dev ## the fast tests, on SQLite
	@echo "== fast tests on SQLite"
	@$(PYTEST) -q -n $(WORKERS) -m "not real and not long"

test-database: $(VENV)/.dev ## those of them that touch the database, on PostgreSQL (CONDAHUB_TEST_PG_URL or one from a wheel)
	@echo "== tests of the database on PostgreSQL"
	@$(BIN)/python -m tests.postgres $(PYTEST) -q -n $(WORKERS) -m "not real and not long"

test-real: $(VENV)/.dev ## the tests with real processes, programs and clients
	@echo "== tests with real parts"
	@$(PYTEST) -q -n $(REAL_WORKERS) --dist loadfile -m "real and not long"

test-long: $(VENV)/.dev ## load, soak and scale
	@$(PYTEST) -q -m long

test-system: $(VENV)/.dev ## install the system parts some tests need (Debian; as root or with sudo)
	@.ci/system-parts

ldap: $(VENV)/.run ## add LDAP to the environment; needs gcc, libldap2-dev, libsasl2-dev and Python's headers
	@$(BIN)/python -c 'import ldap, django_auth_ldap' 2>/dev/null || .ci/make-venv $(VENV) requirements-ldap.lock

check: $(VENV)/.dev ## format, lint, types, import directions
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.dev ## format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix-only --quiet $(SOURCES)
	@$(BIN)/ruff format $(SOURCES)

bench: $(VENV)/.dev ## measure: uploads, visibility, serving, memory
	@$(BIN)/python -m benchmarks

soak: $(VENV)/.dev ## a hub under steady load for SOAK_MINUTES (10)
	@$(BIN)/python -m benchmarks.soak

screenshots: $(VENV)/.dev ## take the portal's pictures in docs/screenshots anew (needs Debian's chromium)
	@$(BIN)/python -m tests.portal.screenshots

vendor: $(VENV)/.dev ## fetch the portal's front-end files anew from npm, as deploy/vendor_assets.py lists them
	@$(BIN)/python deploy/vendor_assets.py

messages: $(VENV)/.dev ## find what the portal says and bring its message catalogues up to date (needs GNU gettext)
	@$(BIN)/python deploy/messages.py

lock: $(VENV)/.dev ## resolve the dependencies anew into the three lock files
	@$(BIN)/python -m pip install --quiet uv
	@for part in server:requirements ldap:requirements-ldap dev:requirements-dev; do \
	  $(BIN)/uv pip compile pyproject.toml --extra $${part%%:*} --universal --python-version 3.11 --generate-hashes --upgrade \
	    --no-emit-index-url --no-emit-find-links --no-header --quiet --output-file $${part##*:}.lock; \
	  sed -i -E '/^(--|# +--)/d' $${part##*:}.lock; \
	  ! grep -nE '://' $${part##*:}.lock; \
	done

clean: ## remove the environment and what tools left behind; ./data stays
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps say which lock the environment was made from. The development lock holds all of the other: one is enough.
$(VENV)/.run: requirements.lock
	@if [ requirements-dev.lock -ot $(VENV)/.dev ]; then touch $@; else .ci/make-venv $(VENV) requirements.lock; touch $@; fi

$(VENV)/.dev: requirements-dev.lock
	@.ci/make-venv $(VENV) requirements-dev.lock
	@touch $@
