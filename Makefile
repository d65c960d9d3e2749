# Each target installs what it needs, mostly into .venv. Outside the repository folder, targets write
# only temporary files and caches.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
# Options of `babylm demo`, for example BABYLM_DEMO_FLAGS=--json
BABYLM_DEMO_FLAGS ?=
# `make bench ONLY=train/gemma2-10m/fp32` runs one benchmark. `make bench ONLY=train` runs all
# benchmarks with names that begin with `train`.
ONLY ?=
# `make chaos ROUNDS=200` runs 200 jobs with random faults. A round has the jobs and faults of one
# seed, and the command does not repeat a finished round.
ROUNDS ?= small
# `make chaos STORE=postgres` uses a temporary Postgres server instead of SQLite.
STORE ?= sqlite

.DEFAULT_GOAL := help
.PHONY: help demo serve test check-all compat bench chaos lint format docs site release dashboard \
  dashboard-types dashboard-check screenshots clean distclean

help:
	@echo "make demo    train a small model with the real service, about three minutes"
	@echo "make serve   run the service until Ctrl-C"
	@echo "make test    run the test suite, except for its longest tests"
	@echo "make compat  load exported checkpoints with other releases of transformers; builds .compat"
	@echo "make check-all  run lint, all tests, tests on Postgres and a real Slurm: an hour"
	@echo "make lint    check formatting, style, types and import contracts"
	@echo "make bench   run the benchmarks; prints a line of JSON for each figure; ONLY=NAME runs one"
	@echo "make chaos   run jobs with injected faults and check the results; ROUNDS=200 runs 200 jobs"
	@echo "make docs    write the generated pages"
	@echo "make site    build the documents as a site in site/"
	@echo "make dashboard        build dashboard/dist from dashboard/src; needs Node 20 or later"
	@echo "make dashboard-check  check style and types of the dashboard, and that dist is current"
	@echo "make screenshots  write the pictures in docs/images from a real run; needs Chromium"
	@echo "make release  run the steps of a release; DRY=1 only checks"
	@echo "make clean   remove caches and the files of the demo; distclean: also .venv and .compat"

demo: $(READY)
	@$(BIN)/babylm demo $(BABYLM_DEMO_FLAGS)

serve: $(READY)
	@exec $(BIN)/babylm serve

test: $(READY)
	$(BIN)/python -m pytest

compat: $(READY)
	$(BIN)/python -m tests.compat.build
	$(BIN)/python -m pytest -n 0 -rs -m compat tests/compat

# The tests start a temporary Postgres server from the installed programs, and a Slurm from unpacked
# Debian packages.
check-all: export BABYLM_TRY_LONG=1
check-all: lint test
	BABYLM_TEST_STORE=postgres $(BIN)/python -m pytest tests/jobs tests/api tests/deploy/test_postgres.py
	$(BIN)/python -m chaos rounds --rounds small --report runs/chaos/sqlite.jsonl
	$(BIN)/python -m chaos rounds --rounds small --store postgres --report runs/chaos/postgres.jsonl
	BABYLM_TRY_SLURM=1 $(BIN)/python -m pytest -n 0 tests/deploy/slurm tests/jobs/test_slurm_faults.py
	BABYLM_TRY_HOSTS=1 $(BIN)/python -m pytest -n 0 tests/deploy/test_two_hosts.py

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)
	@$(BIN)/python -m benchmarks $(ONLY)

chaos: $(READY)
	@$(BIN)/python -m chaos rounds --rounds $(ROUNDS) --store $(STORE)

docs: $(READY)
	$(BIN)/python -m babylm.generate_docs > docs/cli.md
	$(BIN)/python -m api.generate_docs > docs/api.md
	$(BIN)/python docs/generate.py
	$(BIN)/python -m babylm.generate_settings_docs > .env.example

# --strict: a link to a page or an anchor that does not exist is an error.
site: $(READY) $(VENV)/.docs-installed
	$(BIN)/zensical build --strict --clean
	@echo "open site/index.html"

$(VENV)/.docs-installed: pyproject.toml constraints.txt | $(READY)
	@$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

dashboard: $(READY) dashboard/node_modules/.package-lock.json dashboard-types
	cd dashboard && npx biome check --write .
	cd dashboard && npm run --silent build

# Writes the TypeScript types of the API from its OpenAPI document.
dashboard-types: $(READY) dashboard/node_modules/.package-lock.json
	$(BIN)/python -m api.openapi > dashboard/openapi.json
	cd dashboard && node build.mjs --types openapi.json

ifeq ($(shell command -v node 2> /dev/null),)
dashboard-check:
	@echo "dashboard-check: skipped, node is not installed"
else
dashboard-check: $(READY) dashboard/node_modules/.package-lock.json
	$(BIN)/python -m api.openapi > dashboard/openapi.json
	cd dashboard && npm run --silent check
endif

dashboard/node_modules/.package-lock.json: dashboard/package-lock.json
	cd dashboard && npm ci --no-audit --no-fund --loglevel=error

# With LOOK=FOLDER: writes pictures of all pages in each state for review.
screenshots: $(READY)
	$(BIN)/python -m docs.screenshots $(LOOK)

# With DRY=1: checks, and prints the commands that it would run.
release: $(READY)
	$(BIN)/python -m release $(if $(DRY),--dry-run)

clean:
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .cache site runs/demo
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV) .compat

# Installs the pinned torch first. Otherwise a package that requires torch could install another
# build of several gigabytes. The file $(READY) is written last, so that make repeats an interrupted
# installation.
$(READY): pyproject.toml constraints.txt
	@echo "setting up $(VENV) with $(PYTHON); a few minutes the first time"
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "Python 3.11 to 3.13 is needed, this is %d.%d; try make PYTHON=python3.12" % v)'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt torch==2.13.0
	@$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[train,embedded,postgres,dev]'
	@touch $@
