# make train      install into .venv, train on digits and on breast_cancer, say where the reports are
# make test       what CI runs: the tests and the doctests, without the slow cases
# make test-all   everything: slow cases and JAX
# make lint       ruff and mypy, both strict
# make docs       the API pages, written to build/docs

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
JOBS ?= 2

.PHONY: train test test-all lint docs clean

$(INSTALLED): pyproject.toml constraints.txt CMakeLists.txt $(wildcard src/xent/backends/cpu/kernels/*)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]' --constraint constraints.txt
	touch $@

train: $(INSTALLED)
	$(BIN)/xent train digits --out runs/digits --overwrite
	$(BIN)/xent train breast_cancer --out runs/breast_cancer --overwrite
	@echo "Reports: runs/digits/report.html and runs/breast_cancer/report.html"

test: $(INSTALLED)
	$(BIN)/python -m pytest -q -n $(JOBS)

test-all: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[dev-all]' --constraint constraints.txt
	$(BIN)/python -m pytest -q -n $(JOBS) -m ''

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(INSTALLED)
	$(BIN)/pdoc --docformat numpy --output-directory build/docs xent '!xent._' '!xent.cli'

clean:
	rm -rf .venv build dist runs
