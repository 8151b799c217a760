# Every target works on a fresh clone: it makes .venv and installs what it needs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test parity stress lint bench clean

demo: .venv/ready
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m minigrad.models.demo # on a busy machine two BLAS threads wait for each other

test: .venv/ready
	time $(BIN)/pytest -q -m "not parity and not gpu" --cov=minigrad --cov-report=term --cov-fail-under=95

parity: .venv/parity
	time $(BIN)/pytest -q -m parity

stress: .venv/ready
	time MINIGRAD_STRESS=30 $(BIN)/pytest -q tests/test_stress.py

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf .venv/typed && $(BIN)/pip install -q --no-deps --target .venv/typed .
	cd .venv && MYPYPATH=typed bin/mypy --config-file ../pyproject.toml -p minigrad

bench: .venv/parity
	$(BIN)/python bench/overhead.py

.venv/ready: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q -e '.[train,dev]'
	touch $@

.venv/parity: .venv/ready
	$(BIN)/pip install -q '.[parity]' && $(BIN)/pip install -q --no-deps -e .
	touch $@

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
