# One command each: every target sets up what it needs in .venv first.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PLUGINS := $(patsubst plugins/%/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))
PROJECTS := core/pyproject.toml $(wildcard plugins/*/pyproject.toml) requirements-dev.txt constraints/test.txt
# Test processes at once, each with one thread; JOBS=1 for a small memory.
JOBS ?= auto
PYTEST := $(BIN)/python -m pytest --numprocesses=$(JOBS) --maxprocesses=8 --dist=worksteal
# Where the bits are decided: each of these alone must reach the coverage floor.
EXACT := nibblefit/fixed/* nibblefit/ir/* nibblefit/recipe.py nibblefit/recipe_file/* \
    nibblefit/workspace/* $(PLUGINS:%=nibblefit_%/*)
FLOOR := 95

.PHONY: help setup demo test check coverage fuzz results bench docs wheels clean

help:  ## Show this list.
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(STAMP): $(PROJECTS)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing nibblefit, its plugins and the test tools into $(VENV) (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=24'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints/test.txt torch
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints/test.txt \
	    -e 'core[all]' $(PLUGINS:%=-e 'plugins/%[all]') \
	    -r requirements-dev.txt
	@touch $@

setup: $(STAMP)  ## Create .venv with everything installed.

demo: $(STAMP)  ## Digits, from training to bit-exact MAX78000 files and a report.
	$(BIN)/nibblefit run examples/digits_maxim.toml --folder runs/demo

test: $(STAMP)  ## The test suite (about six minutes on two cores).
	$(PYTEST) -q --timeout=600

check: $(STAMP)  ## Lint, types, import contracts, generated documents.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check

coverage: $(STAMP)  ## The suite with branch coverage; fails under 95 % where the bits are decided.
	$(PYTEST) -q --cov --cov-report=
	@set -f; failed=0; for area in $(EXACT); do \
	    total=$$($(BIN)/coverage report --precision=1 --format=total --include="*/$$area") || exit 1; \
	    echo "$$total % of $$area"; \
	    awk "BEGIN { exit !($$total >= $(FLOOR)) }" || failed=1; \
	done; \
	if [ $$failed = 1 ]; then echo "The floor is $(FLOOR) %."; exit 1; fi

fuzz: $(STAMP)  ## Long random tests: 1,000 cases each, kill -9 at random moments.
	$(PYTEST) --verbose --durations=20 --hypothesis-profile=fuzz -m "slow or not slow"

results: $(STAMP)  ## Train and measure on real data; writes docs/results.md.
	$(BIN)/python benchmarks/results.py

bench: $(STAMP)  ## Speed of judge, engine and peers in one run; writes docs/results.md.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	$(BIN)/python benchmarks/bench.py

docs: $(STAMP)  ## Rebuild the generated parts of the manual.
	$(BIN)/python docs/generate.py

wheels: $(STAMP)  ## Build a wheel of every distribution into dist/.
	@rm -rf dist
	@for project in core $(PLUGINS:%=plugins/%); do \
	    $(BIN)/python -m build --wheel --outdir dist $$project || exit 1; done

clean:  ## Remove build products, caches and runs, but not .venv.
	rm -rf dist runs .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache htmlcov .coverage*
