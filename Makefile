# make demo   trains on the shipped digits        make check  everything CI runs
# make test   runs every test                     make bench  prints benchmark ratios
# make format rewrites the code's layout          make clean  removes what make made
# make soak   runs every test, with many more kills and faults
# make newest runs every test with the newest versions that pyproject.toml admits
# make pictures    draws docs/pictures anew from real runs
# make constraints   writes the versions that `make newest` installed to constraints.txt
PYTHON ?= python3
BIN := .venv/bin
NEWEST := .venv-newest/bin
INSTALL := -m pip install --quiet --disable-pip-version-check

.PHONY: demo test check format bench soak pictures newest constraints clean
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

pictures: .venv/ready
	$(BIN)/python docs/pictures/make.py

newest:
	rm -rf .venv-newest
	$(PYTHON) -m venv .venv-newest
	$(NEWEST)/python $(INSTALL) --upgrade setuptools
	$(NEWEST)/python $(INSTALL) --editable '.[dev]'
	$(NEWEST)/python -m pytest

constraints:
	sed -n '/^#/p' constraints.txt > constraints.new
	$(NEWEST)/python -m pip freeze --all --exclude pip --exclude-editable >> constraints.new
	mv constraints.new constraints.txt

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python $(INSTALL) --constraint constraints.txt --editable .
	touch $@

.venv/ready-dev: .venv/ready
	$(BIN)/python $(INSTALL) --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv .venv-newest build dist *.egg-info runs
