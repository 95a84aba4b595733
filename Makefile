# Every command of the README. The first one installs everything: uv from PATH, or into .tools/, then what uv.lock says.
PROFILE ?= sample
DATA    ?=
ONLY    ?=
STALE   ?=
CORES   ?=
SEEDS   ?=
ARGS    ?=
# Extras of pyproject.toml to install, such as slurm; those of the last time stay.
EXTRAS  ?= $(shell cat .venv/.extras 2>/dev/null)
# Where the programs are. `make ... BIN=` takes them from PATH instead (conda, containers) and installs nothing.
BIN ?= .venv/bin/

# Threads that wait without spinning: on a machine with other work the spinning costs ten times what it saves.
export OMP_WAIT_POLICY ?= passive

# A checkout that was moved or copied runs its own code: scripts of .venv/bin name the place where they were installed.
export PYTHONPATH := $(CURDIR)$(if $(PYTHONPATH),:$(PYTHONPATH))
SKINLIB := $(BIN)python -m skinlib.workflow.cli

UV    := $(or $(shell command -v uv 2>/dev/null),.tools/bin/uv)
READY := $(if $(filter .venv/bin/,$(BIN)),.venv/.ready)

.DEFAULT_GOAL := help
.PHONY: help install reproduce test check bench lab regression accept publish restore lock

help:        ## this list
	@sed -n 's/^\([a-z]*\): .*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

install: $(READY)        ## install what uv.lock says; the others do it by themselves; for a cluster: EXTRAS=slurm

reproduce: $(READY)        ## run the compendium: PROFILE=sample|smoke|evidence|real|paper DATA=<root> ONLY="24 43" STALE=reuse CORES=n
	@$(SKINLIB) notebooks reproduce --profile "$(PROFILE)" --data "$(DATA)" --only "$(ONLY)" --stale "$(STALE)" --cores "$(CORES)" -- $(ARGS)

test: $(READY)        ## run the tests, on two cores; one file: ARGS="tests/test_cli.py -n 0"
	OMP_NUM_THREADS=1 $(BIN)python -m pytest -n 2 --dist loadfile $(ARGS)

check: $(READY)        ## lint, format, stripped notebooks, structure
	$(BIN)python -m ruff check . && $(BIN)python -m ruff format --check . && $(BIN)python -m nbstripout --verify notebooks/*.ipynb
	$(BIN)python -m pytest tests/test_layout.py tests/test_notebook_structure.py tests/test_environment.py

bench: $(READY)        ## measure throughput against the plain loop; writes results/bench.json
	$(BIN)python -m benchmarks $(ARGS)

lab: $(READY)        ## open JupyterLab on the notebooks; there the same cells train interactively
	$(BIN)python -m jupyterlab notebooks

regression: $(READY)        ## compare the smoke exhibits with tests/expected/smoke
	@$(SKINLIB) regression

accept: $(READY)        ## take the smoke exhibits as the new expectation; with new bands, over an hour: SEEDS="0 1 2 3 4"
	@for seed in $(SEEDS); do SKINLIB_SEED=$$seed $(SKINLIB) notebooks reproduce --profile smoke \
		--results results/seeds/$$seed || exit 1; done
	@$(SKINLIB) regression --accept --seeds $(SEEDS:%=results/seeds/%/smoke)

publish: $(READY)        ## keep the exhibits of a whole run in results/reference, with their evidence: PROFILE=real DATA=<root>
	@$(SKINLIB) notebooks publish --profile "$(PROFILE)" --data "$(DATA)"

restore: $(READY)        ## take the runs behind results/reference as finished, without weights: PROFILE=real DATA=<root>
	@$(SKINLIB) notebooks restore --profile "$(PROFILE)" --data "$(DATA)"

lock: | $(filter .tools/%,$(UV))        ## renew uv.lock, and requirements.txt from it
	$(UV) lock && $(UV) export --locked --all-extras --quiet --no-hashes --no-emit-project --no-annotate --no-header --output-file requirements.txt

.venv/.ready: uv.lock pyproject.toml $(if $(filter-out $(shell cat .venv/.extras 2>/dev/null),$(EXTRAS)),ANEW) | $(filter .tools/%,$(UV))
	$(UV) sync --locked $(EXTRAS:%=--extra %) && echo $(EXTRAS) >.venv/.extras && touch $@

ANEW:

.tools/bin/uv:
	python3 -m venv .tools && .tools/bin/pip install --quiet uv
