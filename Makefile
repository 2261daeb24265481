# `make demo`, `make test` and `make test-all` do all set-up; `make setup` does nothing where .venv is current.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
SLOW := faults or s3 or bench

.PHONY: setup demo test test-anndata test-all check docs benchmark lock lock-anndata clean
.DEFAULT_GOAL := demo

setup: $(STAMP)

# By hash but for torch, whose builds come from several indexes; NVIDIA's libraries come with it, where it has them.
$(STAMP): requirements.lock requirements.hashes pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "neuronedit needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.hashes
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

demo: setup
	$(BIN)/python jobs/demo_cells.py demo-output/fcs
	$(BIN)/neuronedit normalise demo-output/fcs/samples.csv jobs/normalise.toml

# No kills, no S3 and no benchmarks: for every save and every commit.
# Two processes, of which one has all that uses Ray (tests/conftest.py).
test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not ($(SLOW))"

# AnnData's own environment: with Python 3.11 anndata needs an older pandas than the lock has.
.venv-anndata/.installed: requirements.anndata.lock pyproject.toml
	$(PYTHON) -m venv .venv-anndata
	.venv-anndata/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.anndata.lock
	.venv-anndata/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

test-anndata: .venv-anndata/.installed
	.venv-anndata/bin/python -m pytest tests/anndata

test-all: test test-anndata
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "$(SLOW)"

check: docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: setup
	$(BIN)/sphinx-build --quiet --fresh-env --fail-on-warning --keep-going -b html docs build/docs

benchmark: setup
	$(BIN)/python jobs/benchmark.py transform

# New exact versions: torch first and pinned, or another package pulls in a build for CUDA.
lock:
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet torch==2.13.0
	.venv-lock/bin/python -m pip install --quiet ".[dev]"
	(echo "# Exact versions of everything that neuronedit and its tests need, written by \`make lock\`."; \
	  .venv-lock/bin/python -m pip freeze | sed 's/+cpu$$//' | grep -v -E '^neuronedit|^nvidia|^cuda|^triton') > requirements.lock
	.venv-lock/bin/python -m pip install --quiet uv
	(echo "# The packages of requirements.lock but torch, with the SHA-256 of each of their files, written by \`make lock\`."; \
	  grep -v '^torch==' requirements.lock | .venv-lock/bin/uv pip compile --quiet --generate-hashes --no-deps \
	  --no-annotate --no-header -) > requirements.hashes
	rm -rf .venv-lock

lock-anndata:
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet torch==2.13.0
	.venv-lock/bin/python -m pip install --quiet ".[anndata,jobs]" flowio hypothesis "moto[s3]" pytest pytest-xdist readfcs scanpy umap-learn
	(echo "# Exact versions of what the tests of AnnData need, written by \`make lock-anndata\`."; \
	  .venv-lock/bin/python -m pip freeze | sed 's/+cpu$$//' | grep -v -E '^neuronedit|^nvidia|^cuda|^triton') > requirements.anndata.lock
	rm -rf .venv-lock

clean:
	rm -rf .venv .venv-anndata build demo-output benchmark-output *.egg-info
