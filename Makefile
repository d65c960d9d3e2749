# Each target does all the set-up it needs, in .venv; nothing outside this folder is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
# BABYLM_DEMO_FLAGS=--json and the like
BABYLM_DEMO_FLAGS ?=
# make bench ONLY=train/gemma2-10m/fp32 runs one benchmark, ONLY=train all that begin so
ONLY ?=
# make chaos ROUNDS=200: that many jobs under seeded faults; a round that is done is not done again
ROUNDS ?= small
# make chaos STORE=postgres: on a temporary Postgres server instead of SQLite
STORE ?= sqlite

.DEFAULT_GOAL := help
.PHONY: check-all help demo serve test bench chaos lint format docs screenshots clean distclean

help:
	@echo "make demo    train a small model with the real service, about three minutes"
	@echo "make serve   the service until Ctrl-C"
	@echo "make test    the whole test suite"
	@echo "make check-all  rows and API on Postgres too, and a real Slurm: half an hour"
	@echo "make lint    formatter, linter, types, import contracts"
	@echo "make bench   the benchmarks, a line of JSON a figure; ONLY=NAME runs one"
	@echo "make chaos   jobs under faults on purpose, and a checker; ROUNDS=200 for the long form"
	@echo "make docs    write the pages that are generated"
	@echo "make screenshots  the pictures of docs/images, from a real run; needs Chromium"
	@echo "make clean   remove caches and what the demo made; make distclean: .venv too"

demo: $(READY)
	@$(BIN)/babylm demo $(BABYLM_DEMO_FLAGS)

serve: $(READY)
	@exec $(BIN)/babylm serve

test: $(READY)
	$(BIN)/python -m pytest

# Postgres: a temporary server of the installed programs. Slurm: Debian's packages, unpacked.
check-all: lint test
	BABYLM_TEST_STORE=postgres $(BIN)/python -m pytest tests/jobs tests/api tests/deploy/test_postgres.py
	$(BIN)/python -m chaos rounds --rounds small --store postgres --report runs/chaos/postgres.jsonl
	BABYLM_TRY_SLURM=1 $(BIN)/python -m pytest -n 0 tests/deploy/slurm tests/jobs/test_slurm.py

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

# LOOK=folder: every page at two widths, light and dark, to be looked at
screenshots: $(READY)
	$(BIN)/python -m docs.screenshots $(LOOK)

clean:
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache runs/demo
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)

# torch first and pinned: anything else that asks for it would pull a build of several gigabytes.
# The stamp comes last, so that an installation that broke off is begun again.
$(READY): pyproject.toml constraints.txt
	@echo "setting up $(VENV) with $(PYTHON); a few minutes the first time"
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "Python 3.11 to 3.13 is needed, this is %d.%d; try make PYTHON=python3.12" % v)'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt torch==2.13.0
	@$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[train,embedded,postgres,dev]'
	@touch $@
