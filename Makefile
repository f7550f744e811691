# `make` lists the targets. EXPERIMENT, PRESET, SEEDS and DATA_ROOT override what a study uses.
EXPERIMENT ?=
PRESET ?=
SEEDS ?=
DATA_ROOT ?=
RUNS ?=

BIN := .venv/bin
override STUDY := $(or $(EXPERIMENT),depth_sweep)
override STUDY_PRESET := $(or $(PRESET),quick)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export EXPERIMENT PRESET SEEDS DATA_ROOT RUNS STUDY STUDY_PRESET  # recipes read them as the shell's, whatever is in them

# A name in lower case would be passed over, and another study taken.
$(foreach name,experiment preset seeds data_root runs,$(if $(filter command,$(firstword $(origin $(name)))), \
  $(error $(name)=$($(name)): no such variable; accepted: EXPERIMENT, PRESET, SEEDS, DATA_ROOT, RUNS)))

.DEFAULT_GOAL := help
.PHONY: help setup reproduce test test-gpu test-slow lint report pages check-claims missing status evidence doctor rates reconstructions gpu bench dashboard mirror sync workspace torture publish imagenet-table bundle reference lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'
	@echo "  variables: EXPERIMENT=$(STUDY) PRESET=$(PRESET) SEEDS=$(SEEDS) DATA_ROOT=$(DATA_ROOT) RUNS=$(RUNS) PYTHON=$(PYTHON)"

setup: $(BIN)/.ready ## create .venv from the hash-pinned lock

$(BIN)/.ready: $(BIN)/.locked pyproject.toml
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

# The build tool comes first, from the same lock: one dependency is only published as source.
$(BIN)/.locked: requirements.lock
	@python=; for candidate in $(PYTHON) python3.13 python3.12 python3.11 python3 python; do \
	  if $$candidate -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; \
	  then python=$$candidate; break; fi; done; \
	  test -n "$$python" || { echo "error: no Python 3.11, 3.12 or 3.13 found; name one with PYTHON=..."; exit 2; }; \
	  rm -rf .venv; $$python -m venv .venv || { echo "error: $$python cannot make a virtual environment; on Debian install python3-venv"; exit 2; }
	@echo "installing the locked packages into .venv (on Linux about 3 GB with PyTorch's CUDA build)"
	@sed -n '/^setuptools==/,/[^\\]$$/p' requirements.lock > .venv/build.lock
	$(BIN)/python -m pip install -q --require-hashes --no-deps -r .venv/build.lock
	$(BIN)/python -m pip install -q --require-hashes --no-deps --no-build-isolation -r requirements.lock
	@touch $@

reproduce: setup ## data, sweep, figures, verdict
	@$(BIN)/python scripts/reproduce.py --experiment="$$STUDY" --preset="$$PRESET" --seeds="$$SEEDS" --data-root="$$DATA_ROOT"

test: setup ## the test suite
	@$(BIN)/python -m pytest -n auto --dist loadfile

test-gpu: setup ## the tests that need CUDA
	@$(BIN)/python -m pytest -m gpu

test-slow: setup ## the slow tests too
	@$(BIN)/python -m pytest -m "not gpu"

lint: setup ## ruff and mypy
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

report: setup ## redraw tables, figures, verdict and page (report.html) from the records, and the index (index.html)
	@$(BIN)/python scripts/report.py --experiment="$$STUDY" --preset="$$STUDY_PRESET"

pages: setup ## the page of every study in results/, and results/index.html
	@$(BIN)/python scripts/pages.py

check-claims: setup ## judge curves: RUNS=folder or RUNS=curves.csv
	@test -n "$$RUNS" || { echo "error: RUNS: empty; accepted: a folder of runs or a CSV, RUNS=my_curves.csv" >&2; exit 2; }
	@$(BIN)/python scripts/check_claims.py "$$RUNS" $(if $(PRESET),--preset="$$PRESET") \
	  $(if $(EXPERIMENT),--experiment="$$EXPERIMENT")

mirror: setup ## write W&B's files of a study anew from its records
	@$(BIN)/python scripts/mirror.py --experiment="$$STUDY" --preset="$$STUDY_PRESET"

sync: setup ## upload what the W&B server lacks of a study, from its records
	@$(BIN)/python scripts/sync.py --experiment="$$STUDY" --preset="$$STUDY_PRESET"

workspace: setup ## save a ready-made dashboard of a study in W&B
	@$(BIN)/python scripts/workspace.py --save --experiment="$$STUDY" --preset="$$STUDY_PRESET"

torture: setup ## kill runs, break their storage, fuzz what users hand in: results/torture.json
	@$(BIN)/python scripts/torture.py

publish: setup ## copy the finished runs from outputs/ to results/ and redraw
	@$(BIN)/python scripts/publish.py --experiment="$$STUDY" --preset="$$STUDY_PRESET"

missing: setup ## list the runs of a study that results/ lacks
	@$(BIN)/python scripts/missing.py --experiment="$$STUDY" --preset="$$STUDY_PRESET" --seeds="$$SEEDS"

status: setup ## how far a study is: iterations, errors, time left; also while it is at work
	@$(BIN)/python scripts/status.py --experiment="$$STUDY" --preset="$$STUDY_PRESET" --seeds="$$SEEDS"

evidence: setup ## make the runs that results/ lacks and publish each as it ends
	@$(BIN)/python scripts/evidence.py --experiment="$$STUDY" --preset="$$STUDY_PRESET" --seeds="$$SEEDS" --data-root="$$DATA_ROOT"

doctor: setup ## what would stop a study on this machine; nothing is changed
	@$(BIN)/python -m degradation.doctor --experiment="$$STUDY" --preset="$$PRESET" --seeds="$$SEEDS" --data-root="$$DATA_ROOT"

rates: setup ## write the learning rates that lr_choice chooses for lr_fair into conf/
	@$(BIN)/python scripts/rates.py --preset="$$STUDY_PRESET"

gpu: setup ## on a CUDA machine: tests, benchmark, and all runs of the paper's length that results/ lacks
	@$(BIN)/python -c 'import sys, torch; torch.cuda.is_available() or sys.exit("error: no CUDA device here")'
	@$(MAKE) test-gpu
	-@$(BIN)/python scripts/bench.py gpu_seed --data-root="$$DATA_ROOT"
	@fastest=$$($(BIN)/python scripts/fastest.py) && for experiment in depth_sweep paper_depths; do \
	  $(BIN)/python scripts/evidence.py --experiment=$$experiment --preset=paper --seeds="$$SEEDS" \
	    --data-root="$$DATA_ROOT" $$fastest || exit $$?; done
	-@$(BIN)/python scripts/bench.py gpu20 gpu56 gpu110 gpu_variants gpu_profile --data-root="$$DATA_ROOT"
	@for experiment in precision_gate layer_responses gradient_flow shattered_gradients lesion lr_choice; do \
	  $(MAKE) evidence EXPERIMENT=$$experiment PRESET=paper || exit $$?; done
	@$(MAKE) rates PRESET=paper
	@for experiment in lr_fair paper_very_deep; do \
	  $(MAKE) evidence EXPERIMENT=$$experiment PRESET=paper || exit $$?; done

reconstructions: setup ## pictures of what the trained autoencoders make of test digits
	@$(BIN)/python scripts/reconstructions.py --data-root="$$DATA_ROOT"

bench: setup ## measure speed here, on CUDA the GPU's, written to results/bench/
	@$(BIN)/python scripts/bench.py --data-root="$$DATA_ROOT"

dashboard: setup ## the curves in the terminal, from the W&B files of a study
	@$(BIN)/python scripts/dashboard.py --experiment="$$STUDY" --preset="$$STUDY_PRESET"

imagenet-table: setup ## count the ImageNet nets, written to results/imagenet_family/
	@$(BIN)/python scripts/imagenet_table.py

bundle: setup ## wheels for a GPU machine without a network, into offline/
	@$(BIN)/python scripts/bundle.py

reference: setup ## write the tables of the README and of docs/
	@$(BIN)/python scripts/reference.py

lock: ## resolve requirements.lock anew (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --extra dev --extra slurm --extra workspace -c requirements.in pyproject.toml -o requirements.lock --custom-compile-command "make lock"

clean: ## remove .venv and caches (your runs in outputs/ stay)
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
