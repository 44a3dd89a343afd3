PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

MINUTES ?= 10
SEED ?= 0

.PHONY: install install-dev app demo test attack lint docs clean

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("blur2blur needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check -q -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev]'
	touch $@

$(VENV)/.installed-demo: $(VENV)/.installed
	$(BIN)/pip install --disable-pip-version-check -q -c constraints.txt -e '.[demo]'
	touch $@

install: $(VENV)/.installed

install-demo: $(VENV)/.installed-demo

install-dev: $(VENV)/.installed-dev

app: $(VENV)/.installed
	$(BIN)/pip install --disable-pip-version-check -q -c constraints.txt -e '.[app,train]'
	$(BIN)/blur2blur app

demo: install-demo
	$(BIN)/python benchmarks/demo.py --out demo

test: install-dev
	$(BIN)/python -m pytest

attack: install-dev
	$(BIN)/python tests/attack/campaign.py --minutes $(MINUTES) --seed $(SEED)

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

docs: install-dev
	$(BIN)/pip install --disable-pip-version-check -q -c constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --site-dir build/site

clean:
	rm -rf $(VENV) demo
