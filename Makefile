# make train      install into .venv, train on digits and on breast_cancer, say where the reports are
# make test       what CI runs: the tests and the doctests, without the slow cases
# make test-all   everything: slow cases and JAX
# make test-torch  the losses with another torch: make test-torch TORCH=2.14.1
# make sanitize   the conformance suite over kernels built under AddressSanitizer, then under ThreadSanitizer (g++)
# make fuzz       random calls of the kernels against the oracle, for SECONDS (600), from SEED (the time); wrong seeds are kept
# make reproducible  builds the sdist and, without an index, the wheel from it, twice each, and compares their bytes
# make lint       ruff and mypy, both strict
# make docs       the documentation, written to build/docs; a warning or a broken link fails it
# make links      the documentation's links to other sites; needs a network
# make rules      docs/rules.md, from the table of rules

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
JOBS ?= 2

.PHONY: train test test-all test-torch sanitize fuzz reproducible lint docs links rules clean

$(INSTALLED): pyproject.toml constraints.txt CMakeLists.txt $(wildcard src/crossent/backends/cpu/kernels/*)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]' --constraint constraints.txt
	touch $@

train: $(INSTALLED)
	$(BIN)/crossent train digits --out runs/digits --overwrite
	$(BIN)/crossent train breast_cancer --out runs/breast_cancer --overwrite
	@echo "Reports: runs/digits/report.html and runs/breast_cancer/report.html"

test: $(INSTALLED)
	$(BIN)/python -m pytest -q -n $(JOBS)

test-all: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[dev-all]' --constraint constraints.txt
	HYPOTHESIS_PROFILE=dev $(BIN)/python -m pytest -q -n $(JOBS) -m ''

TORCH ?= 2.14.1
OTHER := .venv-torch-$(TORCH)
OF_TORCH := tests/test_ordinary.py tests/test_rooms.py tests/test_conformance.py tests/test_linear_autograd.py tests/test_operators.py \
  tests/test_transforms.py tests/test_traps.py tests/test_nn.py

test-torch:
	test -x $(OTHER)/bin/python || $(PYTHON) -m venv $(OTHER)
	mkdir -p build && grep -v -e '^torch==' -e '^triton==' constraints.txt > build/constraints-torch.txt
	$(OTHER)/bin/python -m pip install --quiet '.[dev]' torch==$(TORCH) --constraint build/constraints-torch.txt
	$(OTHER)/bin/python -m pytest -q -n $(JOBS) $(OF_TORCH)

# The sanitizers come into Python by preloading; of what is not built under them they say nothing.
SANITIZED := tests/test_cpu_kernels.py tests/test_conformance.py tests/test_traps.py
SETTINGS := ASAN_OPTIONS=detect_leaks=0:use_sigaltstack=0 TSAN_OPTIONS=ignore_noninstrumented_modules=1:halt_on_error=1
LEFT_OUT := agnostic or strict or compiled or fork or environment or extension or cannot_be_read

sanitize: $(INSTALLED)
	$(BIN)/python -m pip install --quiet cmake ninja
	set -e; for name in address thread; do \
	  $(BIN)/cmake -S . -B build/$$name -G Ninja -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(BIN)/ninja -DCROSSENT_SANITIZE=$$name \
	    -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python; \
	  $(BIN)/cmake --build build/$$name; \
	  library=$$(g++ -print-file-name=lib$$(echo $$name | cut -c1)san.so); \
	  env LD_PRELOAD="$$library $$(g++ -print-file-name=libstdc++.so)" $(SETTINGS) setarch -R $(BIN)/python -m pytest -q -p no:xdist $(SANITIZED) \
	    --kernels build/$$name/_kernels.abi3.so -k "not ($(LEFT_OUT))"; \
	done

SECONDS ?= 600

fuzz: $(INSTALLED)
	PYTHONPATH=tests $(BIN)/python tests/fuzz.py --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

reproducible: export SOURCE_DATE_EPOCH = $(shell git log -1 --format=%ct)
reproducible: $(INSTALLED)
	$(BIN)/python -m pip install --quiet build cmake ninja scikit-build-core --constraint constraints.txt
	set -e; export PIP_NO_INDEX=1 PATH="$(CURDIR)/$(BIN):$$PATH"; for part in first second; do \
	  rm -rf build/$$part; \
	  $(BIN)/python -m build --no-isolation --sdist --outdir build/$$part; \
	  $(BIN)/python -m pip wheel --quiet --no-build-isolation --no-deps --wheel-dir build/$$part build/$$part/*.tar.gz; \
	done
	cmp build/first/*.tar.gz build/second/*.tar.gz
	cmp build/first/*.whl build/second/*.whl
	sha256sum build/first/*

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(INSTALLED)
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --builder html docs build/docs
	@echo "The front page: build/docs/index.html"

links: $(INSTALLED)
	$(BIN)/python -m sphinx --quiet --builder linkcheck docs build/links

rules: $(INSTALLED)
	$(BIN)/python -c 'from crossent.checks.rules import page; print(page(), end="")' > docs/rules.md

clean:
	rm -rf .venv build dist runs
