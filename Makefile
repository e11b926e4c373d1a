# Each command sets up .venv first (tools/bootstrap.py); that takes no time when nothing changed.
# ARGS is passed on: make run ARGS=--once, make test ARGS="-k lease"

PYTHON ?= python3
ARGS ?=

.PHONY: run test check bench bench-limits bench-decide bench-serve constraints clean setup

run: setup
	@.venv/bin/suanli tour $(ARGS)

# Three at a time: most of the tests on real Ray wait more than they work. A file stays together, for its cluster's sake;
# in the order of folders, since by default files of one test come last, and those are the longest.
test: setup
	@.venv/bin/pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

check: setup
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/pyright
	.venv/bin/lint-imports

bench: setup
	@.venv/bin/python benchmarks/run.py $(ARGS)

# Whether what has a limit keeps it; on a machine that does nothing else.
bench-limits: setup
	@.venv/bin/pytest -m speed $(ARGS)

bench-decide: setup
	@.venv/bin/python benchmarks/decide.py $(ARGS)

bench-serve: setup
	@.venv/bin/python benchmarks/serve.py $(ARGS)

# Renew every pin, then install what was renewed.
constraints: setup
	.venv/bin/python tools/constraints.py
	@$(PYTHON) tools/bootstrap.py

# Leaves .venv: to make that anew as well, rm -r .venv
clean:
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests tools benchmarks examples -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

setup:
	@$(PYTHON) tools/bootstrap.py
