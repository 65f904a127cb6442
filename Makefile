# make run    installs what is missing, then the main job (arguments: make run ARGS="bandwidth=30")
# make test   installs what is missing (as root, by apt, also User-Mode Linux, chromium, sshd and Fashion-MNIST), then
#             lint, types, import contracts and the tests but the slow ones
# make test-all   the same with the slow ones
# make coverage   the tests that measure nothing, and how much of the pure parts they run (at least 95 %)
# make venv   only the installing: .venv/bin/python is then ready
# make lint   lint, formatting, types, import contracts
# make lock   pins pyproject.toml anew (needs uv); hashes only, no registry address
# make help   these lines
#
# make itself ends with 2 whatever failed, and names the exit code of run.py before ("Error 3"). Where the code
# matters (3: a gate failed, 4: it could not decide) call .venv/bin/python run.py.
# Another interpreter: make PYTHON=/path/to/python3.11
IS_3_11 := -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'
PYTHON ?= $(shell for name in python3.11 python3; do $$name $(IS_3_11) 2>/dev/null && echo $$name && break; done)
# Hundreds of processes of the tests import the project, and where PYTHONDONTWRITEBYTECODE is set each would compile it.
COMPILE = $(BIN)/python -m compileall -q run.py harness netem hydra_plugins experiments
STAMP := .venv/.installed-$(shell sha256sum requirements.lock | cut -c1-16)
BIN := .venv/bin
INSTALL := install -q --disable-pip-version-check --require-hashes -r requirements.lock

.PHONY: run test test-all coverage lint venv lock help

run: venv
	@$(BIN)/python run.py $(ARGS)

test: lint
	@sh tests/netem/install_uml.sh
	@sh tests/report/install_browser.sh
	@sh tests/testbed/install_sshd.sh
	@-sh experiments/install_fashion_mnist.sh >/dev/null
	@$(COMPILE)
	$(BIN)/python -m pytest -m "not slow and not alone" -n 2 --dist loadfile $(ARGS)
	$(BIN)/python -m pytest -m "not slow and alone" $(ARGS)

test-all: lint
	@sh tests/netem/install_uml.sh
	@sh tests/report/install_browser.sh
	@sh tests/testbed/install_sshd.sh
	@-sh experiments/install_fashion_mnist.sh >/dev/null
	@$(COMPILE)
	$(BIN)/python -m pytest $(ARGS)

coverage: venv
	@$(COMPILE)
	$(BIN)/python -m pytest --cov -m "not slow and not alone" -n 2 --dist loadfile $(ARGS)

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

venv: $(STAMP)

# The stamp is the last thing written: an install that fails is done anew. A Python without ensurepip (Debian's,
# without python3-venv) installs into the venv with its own pip.
$(STAMP): requirements.lock
	@$(or $(PYTHON),false) $(IS_3_11) 2>/dev/null || { echo "error: Python 3.11 is needed;" \
	"$(if $(PYTHON),PYTHON=$(PYTHON) is not,neither python3.11 nor python3 is): install it, or make PYTHON=PATH" >&2; exit 1; }
	@[ ! -L .venv ] || { echo "error: .venv is a link, and installing would empty what it points to: remove the link" >&2; exit 1; }
	@rm -f .venv/.installed-*
	@echo "installing the locked packages into .venv (some minutes)"
	@if $(PYTHON) -c 'import ensurepip' 2>/dev/null; \
	then $(PYTHON) -m venv --clear .venv && $(BIN)/python -m pip $(INSTALL); \
	else $(PYTHON) -m venv --clear --without-pip .venv && $(PYTHON) -m pip --python $(BIN)/python $(INSTALL); fi
	@touch $@

lock:
	uv pip compile pyproject.toml --extra dev --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -o requirements.lock

help:
	@sed -n 's/^# \?//p' Makefile | sed '/^The stamp/,$$d'
