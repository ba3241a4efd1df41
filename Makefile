# Everything starts here: `make` lists what there is. Needs GNU make 3.81 or later and Python 3.11 or later.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input
CODE := conftest.py src tests deploy $(wildcard bench)
# What the tests may use besides the embedded engines: what somebody named, else what runs of `make stack`.
ENGINES_UP = $${SHOP_TEST_ENGINES-`[ ! -d "$${SHOP_STACK:-.stack}" ] || $(PY) -m deploy.stack urls | xargs`}
UV ?= $(firstword $(wildcard .venv/bin/uv) uv)

# The environment is made anew when the folder was moved or its Python is gone.
ifneq ($(shell [ "`cat .venv/.made-for 2>/dev/null`" = "`pwd -P`" ] && $(PY) -c '' 2>/dev/null && echo usable),usable)
.PHONY: .venv/.runtime
endif

.PHONY: help setup setup-dev run demo stack stack-down stack-status run-stack test test-long test-all test-list \
	test-fast test-tidb test-providers check style fix bench h2spec proto proto-accept openapi docs schema lock hooks clean distclean

help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

.venv/.runtime: requirements/build.txt requirements/runtime.txt pyproject.toml script/make-venv.sh
	@sh script/make-venv.sh
	@echo "installing what the service needs (requirements/runtime.txt)"
	@$(PIP) install -q --require-hashes -r requirements/build.txt -r requirements/runtime.txt
	@$(PIP) install -q --no-deps --no-build-isolation -e .
	@touch $@

.venv/.engines: .venv/.runtime requirements/engines.txt
	@echo "installing the clients of the engines (requirements/engines.txt)"
	@$(PIP) install -q --require-hashes -r requirements/engines.txt
	@touch $@

.venv/.dev: .venv/.engines requirements/dev.txt
	@echo "installing what tests and checks need (requirements/dev.txt)"
	@$(PIP) install -q --require-hashes -r requirements/dev.txt
	@touch $@

setup: .venv/.runtime ## make .venv with what the service needs
	@:

setup-dev: .venv/.dev ## the same, with what tests and checks need
	@:

run: .venv/.runtime ## the whole Shop in one process, with demo data (RELOAD=1 follows changes)
	@$(PY) -m shop_sandbox.main demo

demo: .venv/.runtime ## play the whole story through the public interfaces
	@$(PY) -m shop_sandbox.main story

stack: .venv/.engines ## install and start MySQL, Redis, RocketMQ, … without Docker (ENGINES="redis consul": only these)
	@$(PY) -m deploy.stack up $(ENGINES)

stack-down: .venv/.engines ## stop them; their data stays in .stack
	@$(PY) -m deploy.stack down $(ENGINES)

stack-status: .venv/.engines ## what runs where
	@$(PY) -m deploy.stack status $(ENGINES)

run-stack: stack ## three instances on these engines behind nginx with TLS (DB=mariadb takes MariaDB); Ctrl-C stops them
	@$(PY) -m deploy.stack.shop $(ARGS)

# Tests share the engines that are up: only without any, two processes run the tests.
test: .venv/.dev ## every test this machine can run, on the engines that are up; of long matrices a sample
	@engines="$(ENGINES_UP)"; SHOP_TEST_ENGINES="$$engines" $(PY) -m pytest --long=sample $(if \
		$(ARGS),$(ARGS),`[ "$$engines" ] || echo "-n 2 --dist loadfile"`)

test-long: .venv/.dev ## the long matrices whole, of which `make test` takes one test in ten
	@SHOP_TEST_ENGINES="$(ENGINES_UP)" $(PY) -m pytest --long=only $(ARGS)

test-all: .venv/.dev ## start the engines and run every test, none left out (ONLY_ENGINES=1: those that need one)
	@$(PY) -m deploy.stack up
	@SHOP_TEST_ENGINES="`$(PY) -m deploy.stack urls | xargs`" \
		$(PY) -m pytest --complete $(if $(ONLY_ENGINES),--only-engines) $(ARGS)

test-list: .venv/.dev ## write tests/engines again: which tests there are for each engine
	@$(PY) -m pytest --write-engine-tests

test-fast: .venv/.dev ## the tests without the slow ones
	@$(PY) -m pytest --long=sample -m "not slow" $(ARGS)

test-tidb: .venv/.dev ## the store's contract suite on TiDB, whose build takes minutes
	@$(PY) -m deploy.stack up tidb
	@SHOP_TEST_ENGINES="`$(PY) -m deploy.stack urls tidb`" $(PY) -m pytest tests/contract -k "test_store and mysql:" \
		$(ARGS); code=$$?; $(PY) -m deploy.stack down tidb; exit $$code

test-providers: .venv/.dev ## our payments against the providers' own Java libraries, which Maven fetches
	@$(PY) -m tests.providers.library
	@$(PY) -m pytest tests/providers $(ARGS)

check: .venv/.dev ## style, types, import rules
	@$(PY) -m ruff check $(CODE)
	@$(PY) -m ruff format --check $(CODE)
	@$(PY) -m mypy $(CODE)
	@$(PY) .venv/bin/lint-imports --no-logo
	@$(MAKE) style

style: .venv/.dev ## the rules of style that no linter knows
	@$(PY) -m pytest tests/project/test_style.py

fix: .venv/.dev ## let ruff repair what it can
	@$(PY) -m ruff check --fix $(CODE)
	@$(PY) -m ruff format $(CODE)

bench: .venv/.engines ## the benchmarks, with their ratios
	@$(PY) -m bench $(ARGS)

proto: .venv/.dev ## generate the gRPC code and the synchronous client again
	@cd src && PATH="$(CURDIR)/.venv/bin:$$PATH" python -m grpc_tools.protoc -I . --python_out=. --grpc_python_out=. \
		--mypy_out=. --mypy_grpc_out=. shop_order/api/proto/order.proto shop_order/api/proto/shop_order.proto \
		shop_order/api/proto/shop/neighbours.proto
	@$(PY) -m tests.baseline.sync_client

proto-accept: .venv/.dev ## promise what was added to the .proto files (refuses what breaks callers)
	@$(PY) -m tests.baseline.promise

openapi: .venv/.dev ## write docs/api and docs/errors.md again from the code (refuses what breaks callers)
	@$(PY) -m tests.baseline.rest_promise

docs: .venv/.dev ## write the tables of settings in docs/ again from the code
	@$(PY) -m tests.baseline.settings_pages

h2spec: .venv/.dev ## HTTP/2 conformance of both gRPC transports (builds h2spec with Go)
	@$(PY) -m tests.component.grpc.h2spec

schema: .venv/.dev ## write both engines' scripts of tables again from the migrations
	@$(PY) -m tests.baseline.sqlite_schema
	@$(PY) -m tests.baseline.mysql_schema

lock: ## pin the dependencies again (UPGRADE=1 takes newer ones)
	@command -v $(UV) >/dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 1; }
	@script/lock.sh $(UV) $(if $(UPGRADE),--upgrade)

hooks: .venv/.dev ## check what is committed before it is
	@$(PY) -m pre_commit install

clean: ## remove what tests and tools left; the data and .venv stay
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache __pycache__ build client/build dist
	@find src tests deploy $(wildcard bench) -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## clean, and .venv; the data stays
	@rm -rf .venv
