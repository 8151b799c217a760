# Every target works on a fresh clone: it makes .venv and installs what it needs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test parity kernels gpu stress lint bench clean

demo: .venv/ready
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m minigrad.models.demo # on a busy machine two BLAS threads wait for each other

test: .venv/ready
	time $(BIN)/pytest -q -m "not parity and not kernels and not gpu" --cov=minigrad --cov-report=term --cov-fail-under=95

parity: .venv/parity
	time $(BIN)/pytest -q -m parity

kernels: .venv/kernels
	$(BIN)/python -c "from cuda.bindings import nvrtc; nvrtc.nvrtcVersion()" # fails here, where a test would be skipped
	g++ --version # runs the kernels on the CPU
	time $(BIN)/pytest -q -m kernels --cov=minigrad/kernels/cuda --cov-report=term

# On a machine with a GPU, where often nothing can be installed: with the python3 that is there, and what it has.
OUT ?= bench/results
gpu:
	python3 bench/gpu.py --out $(OUT)

stress: .venv/ready
	time MINIGRAD_STRESS=30 $(BIN)/pytest -q tests/test_stress.py

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf .venv/typed && $(BIN)/pip install -q --no-deps --target .venv/typed .
	cd .venv && MYPYPATH=typed bin/mypy --config-file ../pyproject.toml -p minigrad

bench: .venv/parity
	$(BIN)/python bench/startup.py
	$(BIN)/python bench/overhead.py
	$(BIN)/python bench/graph_memory.py
	$(BIN)/python bench/optim.py
	$(BIN)/python bench/conv.py
	$(BIN)/python bench/train.py
	$(BIN)/python bench/scaling.py
	$(BIN)/python bench/skip_connections.py

.venv/ready: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q -e '.[train,dev]'
	touch $@

.venv/parity: .venv/ready
	$(BIN)/pip install -q '.[parity]' && $(BIN)/pip install -q --no-deps -e .
	$(BIN)/pip install -q --no-deps torchvision==0.28.0 # its own requirements would change PyTorch
	touch $@

.venv/kernels: .venv/ready
	$(BIN)/pip install -q '.[kernels]' && $(BIN)/pip install -q --no-deps -e .
	touch $@

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
