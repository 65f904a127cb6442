# make run    installs what is missing, then the main job (arguments: make run ARGS="bandwidth=30")
# make test   installs what is missing, then lint, types, import contracts and the test suite
# make venv   only the installing
# make lock   pins pyproject.toml anew (needs uv); hashes only, no registry address
PYTHON ?= python3.11
STAMP := .venv/.installed-$(shell sha256sum requirements.lock | cut -c1-16)
BIN := .venv/bin

.PHONY: run test test-all lint venv lock

run: venv
	$(BIN)/python run.py $(ARGS)

test: venv lint
	$(BIN)/python -m pytest -m "not slow" $(ARGS)

test-all: venv lint
	$(BIN)/python -m pytest $(ARGS)

lint: venv
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

venv: $(STAMP)

# A Python without ensurepip (Debian's, without python3-venv) installs into the venv with its own pip instead.
$(STAMP): requirements.lock
	@rm -f .venv/.installed-*
	@if $(PYTHON) -c 'import ensurepip' 2>/dev/null; then $(PYTHON) -m venv .venv; \
	else $(PYTHON) -m venv --without-pip .venv; fi
	@echo "installing the locked packages into .venv (about a minute)"
	@if [ -x $(BIN)/pip ]; then $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock; \
	else $(PYTHON) -m pip --python $(BIN)/python install -q --disable-pip-version-check --require-hashes -r requirements.lock; fi
	@touch $@

lock:
	uv pip compile pyproject.toml --extra dev --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -o requirements.lock
