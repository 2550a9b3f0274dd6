# Each target prepares what it needs (an environment in .venv, a JDK) and skips what is already there.
# ARGS goes to the command: make demo ARGS="--seconds 20"; make test ARGS="-m 'not deephaven'".
# PYTHON names the interpreter to build on: make test PYTHON=python3.12.

ARGS ?=
export PYTHON

RUNTIME := -r requirements-store.txt -r requirements-server.txt -r requirements-client.txt
PREPARE := sh tools/bootstrap.sh $(RUNTIME)
DEVELOP := $(PREPARE) -r requirements-dev.txt
PYTEST  := $(DEVELOP) --jdk --chromium -- python -m pytest
# Two processes: one has all that needs Deephaven, the other the rest, a file at a time.
PAIR    := --numprocesses 2
LONG    := --long -o timeout=7200 -o faulthandler_timeout=7500

.DEFAULT_GOAL := help
.PHONY: help demo test check fmt docs-test site fuzz stress soak coverage mutation bench screenshots build package-test clean distclean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Start PostgreSQL and Deephaven and stream orders, trades and risk: ARGS="--seconds 20"
	@$(PREPARE) --jdk -- python demo_bridge.py $(ARGS)

test: ## Run the tests, with a round or two of the long ones
	@$(PYTEST) $(PAIR) $(ARGS)

check: ## Run ruff, mypy (strict) and import-linter
	@$(DEVELOP) -- python -m tools.check

fmt: ## Format the code and mend what ruff can mend
	@$(DEVELOP) -- sh -c 'ruff format && ruff check --fix'

docs-test: ## Run every Python block of README.md and docs/ and compare what it prints
	@$(PYTEST) tests/docs $(ARGS)

site: ## Build README.md, docs/ and the docstrings into site/; a broken link or reference fails
	@$(DEVELOP) -- python -m sphinx --fail-on-warning --keep-going --quiet -b html -c docs -d build/doctrees . site $(ARGS)
	@echo "site/index.html is ready"

fuzz: ## Run the property tests at length
	@$(PYTEST) -m fuzz $(LONG) $(ARGS)

stress: ## Run all rounds of the tests that kill and restart processes
	@$(PYTEST) -m stress $(LONG) $(ARGS)

soak: ## Run the tests under load at full length
	@$(PYTEST) -m soak $(LONG) $(ARGS)

coverage: ## Run the tests and show line and branch coverage
	@$(PYTEST) $(PAIR) --cov --cov-report=term --cov-report=html $(ARGS)

mutation: ## Seed faults and see whether the tests tell; write docs/testing.md
	@$(DEVELOP) --jdk -- python -m tools.mutation $(ARGS)

bench: ## Measure speed and print one table of ratios
	@$(PREPARE) -r requirements-bench.txt --venv .venv-bench --jdk -- python -m benchmarks $(ARGS)

screenshots: ## Take the pictures of the dashboards in docs/images anew
	@$(DEVELOP) --jdk --chromium -- python -m tools.screenshots $(ARGS)

build: ## Build the wheel and the sdist into dist/
	@$(DEVELOP) -- python -m build --no-isolation $(ARGS)

package-test: ## Install wheel and sdist in clean environments, one an extra and Python, and use them there
	@$(DEVELOP) --jdk -- python -m tools.package_test $(ARGS)

clean: ## Remove caches, reports and builds
	@rm -rf build dist site htmlcov .coverage .coverage.* *.egg-info .hypothesis .import_linter_cache
	@rm -rf .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean ## Remove the environments as well
	@rm -rf .venv .venv-bench
