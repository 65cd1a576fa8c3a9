# Each of these sets itself up: a virtual environment, then what the project needs. The second call installs nothing.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
STAMP = $(VENV)/.installed-$(1)-$(shell cksum pyproject.toml | cut -d' ' -f1)

CODE := modalities networks lightning_modules evaluation experiments fourm_lab tests benchmarks

.PHONY: demo test lint types check bench clean

demo: $(call STAMP,run)
	$(BIN)/fourm ablate experiments/configs/quickstart.yaml

test: $(call STAMP,dev)
	$(BIN)/python -m pytest -n 2 --dist loadgroup --durations=20

lint: $(call STAMP,dev)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(call STAMP,dev)
	$(BIN)/mypy $(CODE)

check: lint types test

bench: $(call STAMP,run)
	$(BIN)/python -m benchmarks.masking
	$(BIN)/python -m benchmarks.training_step
	$(BIN)/python -m benchmarks.generation

clean:
	rm -rf $(VENV)

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "fourm-lab needs Python 3.11 or newer; none was found. Set PYTHON=/path/to/python3.11." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(call STAMP,run): | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -e .
	touch $@

$(call STAMP,dev): | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -e ".[dev]"
	touch $@ $(call STAMP,run)
