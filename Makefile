# make test       the tests, in an environment of their own
# make test-slow  those that take minutes
# make test-matrix  those of them that are repeated, with the other database, an ablation, another trouble
# make bench      the benchmarks (minutes; needs MNIST)
# make coverage   the default tests, and how much of the code they run
# make docs       the documentation as a site, in site/
# make reference  the generated pages of docs/ again, after a change of an option, a field or a task
# make pins       requirements.txt again from pyproject.toml

PYTHON ?= python3
BIN := .venv/bin

.PHONY: test test-slow test-matrix coverage pins bench docs reference

test: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not slow and not matrix"

coverage: .venv/ready
	$(BIN)/python -m pytest -m "not slow and not matrix" --cov=study --cov=entrypoints

test-slow: .venv/ready
	$(BIN)/python -m pytest -m "slow and not matrix"

test-matrix: .venv/ready
	$(BIN)/python -m pytest -m matrix

bench: .venv/ready
	$(BIN)/python -m benchmarks.epoch
	$(BIN)/python -m benchmarks.ablation
	$(BIN)/python -m benchmarks.serving
	$(BIN)/python -m benchmarks.search
	$(BIN)/python -m benchmarks.search_quality
	$(BIN)/python -m benchmarks.search_mnist "$$(mktemp -d)"
	$(BIN)/python -m benchmarks.verdicts
	$(BIN)/python -m benchmarks.null_trainings

docs: .venv/docs-ready
	$(BIN)/python -m docs.make_reference --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

reference: .venv/ready
	$(BIN)/python -m docs.make_reference

pins: .venv/ready
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --no-emit-index-url --no-header --no-annotate -o requirements.txt

.venv/ready: requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.txt --group test
	touch $@

.venv/docs-ready: .venv/ready
	$(BIN)/uv pip install --quiet --python $(BIN)/python --group docs
	touch $@
