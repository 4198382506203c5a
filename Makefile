# The book's commands. `make help` lists them; everything is installed into .venv first.

PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help install book html pdf chapters picture ablations test lint clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' Makefile

install: .venv/installed ## Install the package and its tools into .venv

# The dense CRF is optional: where it cannot be compiled, the book runs without it. Its own build
# asks for a Cython whose code Python 3.13 refuses; without isolation the Cython here is taken.
CRF = $(BIN)/pip install --quiet "cython>=3.0.11" "setuptools>=70.1" && \
	$(BIN)/pip install --quiet --no-build-isolation --editable ".[crf]"

# The stamp makes a second call do nothing until pyproject.toml changes.
.venv/installed: pyproject.toml
	@PYTHON=$(PYTHON) sh book/tools/system.sh venv
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' || \
		{ echo "This needs Python 3.10 to 3.13: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable ".[book,batch,test]"
	@PYTHON=$(BIN)/python sh book/tools/system.sh compiler && $(CRF) || \
		echo "The dense CRF could not be compiled (above). All else works; results say 'no CRF'." >&2
	@touch $@

book: install ## Run the chapters that have not yet run here (SETTINGS=file.yml), build the pages
	$(BIN)/python book/tools/chapters.py run $(if $(SETTINGS),--settings "$(SETTINGS)")
	$(BIN)/python book/tools/build.py _build/source

html: install ## Build the pages with the stored outputs; executes nothing
	$(BIN)/python book/tools/build.py

pdf: html ## Print the pages as one PDF, _build/ribnb.pdf
	@sh book/tools/system.sh chromium
	$(BIN)/python book/tools/pdf.py

chapters: install ## Run all chapters and store their outputs in book/
	$(BIN)/python book/tools/chapters.py store

picture: install ## Make the picture of the front page and of README anew
	$(BIN)/python book/tools/picture.py

CORES ?= all
ablations: install ## Run the ablations (CONFIG=file.yml: what it says), as many at a time as CORES
	$(BIN)/snakemake --cores $(CORES) $(if $(CONFIG),--configfile "$(CONFIG)")

# Two processes, each with whole files (a notebook's cells follow on each other), the slow ones
# first, so that none is left alone at the end. A folder that holds them would sort them again.
SPREAD = --numprocesses 2 --dist loadfile --no-loadscope-reorder
ROOMS = $(sort $(dir $(wildcard tests/*/test_*.py)))
SLOW_ROOMS = tests/runs/ tests/chapters/
SLOW = rib voc_classifier voc_segmentation voc_masks photographs toy_bottleneck rib_loss voc_rib
SLOW_CHAPTERS = $(SLOW:%=book/%.ipynb)

test: install lint ## Run all tests
	@sh book/tools/system.sh chromium
	$(BIN)/pytest $(SPREAD) $(SLOW_ROOMS) $(filter-out $(SLOW_ROOMS),$(ROOMS))
	RIBNB_PROGRESS=off OMP_NUM_THREADS=1 $(BIN)/pytest $(SPREAD) --nbval --nbval-current-env \
		--nbval-cell-timeout=1200 $(SLOW_CHAPTERS) \
		$(filter-out $(SLOW_CHAPTERS),$(wildcard book/*.ipynb))

lint: install ## Check style, imports between rooms, addresses
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/python book/tools/repository.py

clean: ## Remove what was built; keep .venv
	rm -rf _build
