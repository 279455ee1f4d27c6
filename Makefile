# make demo   trains on the shipped digits        make check  everything CI runs
# make test   runs every test                     make bench  prints benchmark ratios
# make format rewrites the code's layout          make clean  removes what make made
# make soak   runs every test, with many more kills and faults
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check format bench soak clean
.DELETE_ON_ERROR:

demo: .venv/ready
	$(BIN)/fitx train digits

test: .venv/ready-dev
	$(BIN)/python -m pytest

check: .venv/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

format: .venv/ready-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

soak: .venv/ready-dev
	FITX_SOAK=1 $(BIN)/python -m pytest

bench: .venv/ready-dev
	$(BIN)/python bench/run.py

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/ready-dev: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build dist *.egg-info runs
