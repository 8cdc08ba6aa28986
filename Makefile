# `make quickstart` and `make test` do all the set-up on a fresh machine: Python 3.11 or later is all they need.
PYTHON ?= python3
VENV := .venv
OFFMAP := $(VENV)/bin/offmap

.PHONY: quickstart test lint docs slow wheel dist lowest stress cluster bench lock clean

quickstart: $(VENV)/.ready
	$(OFFMAP) run configs/experiments/quickstart.yaml

test: $(VENV)/.ready
	$(VENV)/bin/python -m pytest -m "not slow" --numprocesses 2

lint: $(VENV)/.ready
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports
	$(VENV)/bin/mypy
	MYPYPATH=docs/site $(VENV)/bin/mypy docs/site

# The documentation, into build/site, with warnings as errors; open build/site/index.html.
docs: $(VENV)/.ready
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict

slow: $(VENV)/.ready
	$(VENV)/bin/python -m pytest -m "slow and not slurm and not wheel" --numprocesses 2

# What users get: wheel and sdist are built, installed into an environment of their own outside the checkout, and used.
wheel: $(VENV)/.ready
	$(VENV)/bin/python -m pytest -m wheel

dist: $(VENV)/.ready
	$(VENV)/bin/python -c "from setuptools import build_meta; print(build_meta.build_sdist('dist'), build_meta.build_wheel('dist'))"

# The lowest versions that pyproject.toml allows have to do as well: the fast tests of what reads and writes files, in
# the folders that pandas, pyarrow, pydantic, safetensors and jinja2 are used in.
LOWEST := tests/suite/experiment tests/suite/results tests/suite/run/saving tests/reports/figures tests/reports/numbers \
  tests/reports/page tests/reports/reading tests/reports/test_reference_tables.py
lowest: pyproject.toml requirements.lock
	rm -rf .lowest-venv
	$(PYTHON) -m venv .lowest-venv
	sed -n '/^dependencies = \[/,/^\]/p' pyproject.toml | sed -nE 's/^  "([a-z0-9-]+)(\[[a-z]+\])?>=([0-9.]+).*/\1==\3/p' > .lowest-venv/lowest.txt
	grep -E '^(pytest|pytest-xdist|hypothesis|selenium|build|setuptools)==' requirements.lock > .lowest-venv/tests.txt
	.lowest-venv/bin/python -m pip install --quiet --no-compile --constraint .lowest-venv/lowest.txt --requirement .lowest-venv/tests.txt --editable .
	.lowest-venv/bin/python -m pytest -m "not slow" -k "not fuzzing" --numprocesses 2 $(LOWEST)

# Fifty runs killed at random moments, and ten thousand damaged files (twelve minutes of a processor; OFFMAP_FUZZ_SEED=N
# for others); `make slow` has a few of each.
stress: $(VENV)/.ready
	OFFMAP_KILLS=50 OFFMAP_FUZZ=10_000 $(VENV)/bin/python -m pytest -m stress --numprocesses 2

# On a real Slurm that the tests start themselves: root, and Debian's slurm-wlm and munge. One at a time.
cluster: $(VENV)/.ready
	$(VENV)/bin/python -m pytest -m slurm

bench: $(VENV)/.ready
	$(OFFMAP) bench

# Everything is pinned in requirements.lock; torch without a local version, so that a machine gets the build it can use.
$(VENV)/.ready: pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --quiet --constraint requirements.lock --editable '.[dev]'
	touch $@

# Resolve anew within the bounds of pyproject.toml, and pin what came out.
lock:
	rm -rf .lock-venv
	$(PYTHON) -m venv .lock-venv
	.lock-venv/bin/python -m pip install --quiet 'torch==2.13.0' '.[dev]'
	.lock-venv/bin/python -m pip freeze --exclude offmap | sed 's/+cpu$$//' > requirements.lock
	rm -rf .lock-venv

clean:
	rm -rf $(VENV) .lock-venv .lowest-venv build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
