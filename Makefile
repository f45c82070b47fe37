# Two commands to know: `make demo` shows the product, `make test` tests it. Each installs what it needs.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
SERVER := --extra image --extra ldap --extra oidc --extra ocr --extra pdf --extra postgres --extra s3 --extra sharepoint --extra smb --extra sources
LINKED := core soap plugins migrations doctor console cli

.PHONY: help demo test test-services check types layers lint format docs lock bench clean

help:            ## Show the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

demo: $(READY)   ## A server, a device, two jobs completed and one cancelled
	@$(BIN)/postscan demo

# The tests start hundreds of servers: each reuses the bytecode of the last, even where Python is configured to write none.
# A file runs in one worker, since its tests share servers; in the order that tests/conftest.py gives, the slow ones first.
# Most tests wait more than they compute, so there are more workers than cores: decision 89.
WORKERS ?= 5
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test: $(READY)   ## All tests but those of `make test-services`
	@$(PYTEST) -m "not services"

test-services: $(READY)  ## Tests that install packages, follow a page, or need a file server
	@$(PYTEST) -m services

check: lint types layers  ## Everything that is not a test: style, types, who imports whom

lint: $(READY)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(READY)
	@$(BIN)/mypy

layers: $(READY)
	@$(BIN)/lint-imports

format: $(READY) ## Format the code with ruff
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench: $(READY)  ## The measurements in docs/benchmarks.md (minutes)
	@$(BIN)/python -m bench

docs: $(READY)   ## The documents as a site, in site/<version>/
	@$(BIN)/python tools/docs_site.py

lock: $(READY)   ## Pin the dependencies again
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --upgrade \
	    --all-extras --group dev --python-version 3.11 pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
	    $(SERVER) --group build --python-version 3.11 --constraint requirements.lock pyproject.toml -o requirements-server.lock

clean:           ## Remove what the other commands made
	rm -rf $(VENV) .types build site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# The environment: pinned, hashed, and made again when the pins change.
# The type checkers cannot follow the mapped layout of an editable install, so .types/ shows them the packages as links.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	    { echo "postscan needs Python 3.11 or newer as '$(PYTHON)'; name another with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	    { echo "postscan needs Python's venv module; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "Setting up $(VENV) (once) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > $(VENV)/uv.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $(VENV)/uv.lock
	@$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	@rm -rf *.egg-info  # an old one would hide the entry points of the new one
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@mkdir -p .types/postscan && for p in $(LINKED); do ln -sfn ../../$$p .types/postscan/$$p; done
	@touch $(READY)
