# Three commands matter: `make book` builds the book, `make check` checks a change in a minute or so,
# and `make test` checks everything. All put what they need into .venv on first use, and need only
# Python >= 3.11 and git.

PYTHON    ?= python3
VENV      := .venv
BIN       := $(VENV)/bin
HTML      := _build/html
SITE      := _build/site
CHINESE   := _build/zh
NAME      := learning-to-learn
PORT      ?= 8000
THREADS   ?= 1
PINS      ?= requirements.txt
NOTEBOOKS ?= $(shell find book -name '*.ipynb' -not -path '*/.*' | sort)

# Errors, and nothing else.
PIP := python -m pip --quiet --quiet --disable-pip-version-check
# One file of tests, or one notebook, on each core.
PARALLEL := --numprocesses auto --dist loadfile

LIBRARY := $(shell find meta_lib -type f -not -name '*.pyc')
SOURCES := _config.yml _toc.yml $(shell find book -type f -not -name '*.pyc' -not -path '*/.*')

# One thread, so that the numbers do not depend on how many cores a machine has.
export OMP_NUM_THREADS ?= 1
# Progress bars are for people at work, not for stored outputs.
export TQDM_DISABLE := 1

.PHONY: help book check test alone colab engines screenshots notebooks messages notebooks-zh results seeds \
  mutants benchmarks links address serve offline pdf site clean

help:
	@echo "make book       build the book in $(HTML)/"
	@echo "make check      check what has changed since main, before a commit"
	@echo "make test       check everything: the code, each notebook's outputs, the book's pages"
	@echo "make notebooks  run the notebooks and store their outputs (NOTEBOOKS=... for some only)"
	@echo "make alone      run each notebook by itself, and compare with what is stored"
	@echo "make colab      the same with the versions that Google Colab has today"
	@echo "make engines    move the book's figures in Firefox and in WebKit"
	@echo "make screenshots take each chapter's first screen, wide and on a phone (CHAPTERS=...)"
	@echo "make results    list the recorded runs and make those that are missing (RUNS=... for some only)"
	@echo "make seeds      try the chapters' verdicts with seeds that the text does not use (CHAPTERS=...)"
	@echo "make benchmarks measure the library beside others, by THREADS=1 or more (benchmarks/README.md)"
	@echo "make mutants    break the algorithms line by line and see what the tests notice (20 minutes)"
	@echo "make links      ask every address that the book links whether it is still there"
	@echo "make address    say where the repository lies: URL=https://github.com/OWNER/NAME"
	@echo "make serve      show the book at http://localhost:$(PORT)/ (PORT=... for another port)"
	@echo "make messages   bring the catalogues in step with the English, and list what is to translate"
	@echo "make notebooks-zh write the Chinese notebooks into $(CHINESE)/book/"
	@echo "make offline    pack the book into _build/$(NAME).zip, which opens from the file system"
	@echo "make pdf        print the book into _build/$(NAME).pdf, and $(NAME)-zh.pdf; this needs Chromium"
	@echo "make site       put book, zip and PDF together in $(SITE)/, to be published"
	@echo "make clean      remove the built book and the Python environment"

book: $(HTML)/.built
	@echo "The book is in $(HTML)/: open $(HTML)/index.html in a browser, or run: make serve"

# From the stored outputs: nothing is run. All pages are made anew, and any warning fails the build.
$(HTML)/.built: $(VENV)/.installed $(LIBRARY) $(SOURCES)
	@rm -rf $(HTML)
	@$(BIN)/jupyter-book build --all -W --keep-going -n .
	@$(BIN)/python book/_translated/edition.py $(CHINESE)
	@$(BIN)/jupyter-book build --all -W --keep-going -n $(CHINESE)
	@mv $(CHINESE)/_build/html $(HTML)/zh
	@touch $@

# What one wants before each commit; tests/touched.py says which tests reach what has changed.
check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/typos
	$(BIN)/pytest $(PARALLEL) -q $$($(BIN)/python tests/touched.py)

# The PDF takes longest, and so comes first among the pages' tests.
test: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/typos
	$(BIN)/pytest $(PARALLEL) --ignore-glob 'tests/test_built_*.py'
	@$(MAKE) --no-print-directory alone
	@$(MAKE) --no-print-directory book
	$(BIN)/pytest --numprocesses auto --dist loadgroup --no-loadscope-reorder \
	  tests/test_built_offline.py tests/test_built_*.py

# Each notebook by itself: in an empty folder, and in an environment with nothing but the wheel of
# the library, what the wheel asks for, and Jupyter. Its outputs and its figures must be those that
# are stored, unless PINS names other versions than the book's own. The Chinese notebooks have the
# same code, and other words beside it: of these, one is run, to see that it runs.
ALONE := _build/alone
RUN_IN_CHINESE := book/4-formulas/similarity-and-contrastive-loss.ipynb
alone: $(VENV)/.installed
	@rm -rf $(ALONE) build
	@echo "The library's wheel, and an environment with nothing else, in $(ALONE)/ ..."
	@$(BIN)/$(PIP) wheel --no-deps --no-build-isolation --wheel-dir $(ALONE) .
	@rm -rf build
	@$(PYTHON) -m venv $(ALONE)/venv
	@$(ALONE)/venv/bin/$(PIP) install --no-compile \
	  --constraint $(PINS) $(ALONE)/*.whl ipykernel nbval pytest-xdist
	@for notebook in $(NOTEBOOKS); do folder=$(ALONE)/run/$$(basename $$notebook .ipynb); \
	  mkdir -p $$folder && cp $${notebook%.ipynb}.* $$folder || exit 1; done
	@cp tests/alone.py $(ALONE)/run/conftest.py
	cd $(ALONE) && venv/bin/pytest $(PARALLEL) -W default run \
	  $(if $(filter requirements.txt,$(PINS)),--nbval,--nbval-lax) \
	  --nbval-sanitize-with $(CURDIR)/tests/nbval_sanitize.cfg
	@$(MAKE) --no-print-directory notebooks-zh
	@mkdir -p $(ALONE)/zh && cp $(CHINESE)/$(RUN_IN_CHINESE) $(ALONE)/zh
	cd $(ALONE) && venv/bin/pytest -W default --nbval-lax zh

# The same with the versions that Google Colab has today, as far as they can be had.
COLAB := https://raw.githubusercontent.com/googlecolab/backend-info/main/pip-freeze.txt
colab:
	@mkdir -p _build
	@curl --fail --silent --show-error --location $(COLAB) | sed -nE \
	  -e 's|^([A-Za-z0-9_.-]+==[0-9][0-9a-z.]*)(\+.*)?$$|\1|p' \
	  -e 's|^torch @ .*/torch-([0-9.]+)[^0-9.].*|torch==\1|p' > _build/colab.txt
	@$(MAKE) --no-print-directory alone PINS=_build/colab.txt

notebooks: $(VENV)/.installed
	@$(BIN)/python book/_stored/notebooks.py $(NOTEBOOKS)

messages: $(VENV)/.installed
	@$(BIN)/python book/_translated/catalogues.py

notebooks-zh: $(VENV)/.installed
	@$(BIN)/python book/_translated/edition.py $(CHINESE)

results: $(VENV)/.installed
	$(BIN)/python results/make.py $(if $(RUNS),$(RUNS),--all)

seeds: $(VENV)/.installed
	$(BIN)/python -m seeds $(CHAPTERS)

benchmarks: book
	$(BIN)/$(PIP) install -r benchmarks/requirements.txt
	@for of in maml lstm_optimizer siamese; do \
	  $(BIN)/python benchmarks/$$of.py --threads $(THREADS) || exit 1; done
	$(BIN)/python benchmarks/pages.py
	$(BIN)/python benchmarks/figures.py
	$(BIN)/python benchmarks/learning.py --threads $(THREADS)

# Needs both engines, so it is no part of `make test`.
engines: book
	$(BIN)/pytest tests/engines.py

screenshots: book
	$(BIN)/python tests/screenshots.py $(HTML) _build/screenshots $(CHAPTERS)

# Breaks each line of the algorithms in turn; what the tests do not notice is listed at the end.
mutants: $(VENV)/.installed
	$(BIN)/$(PIP) install -r tests/requirements.txt
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/mutmut run
	$(BIN)/mutmut results

# Asks the whole world, so it is no part of `make test`.
links: $(VENV)/.installed
	$(BIN)/jupyter-book build --all --builder linkcheck .

# Where the repository lies: _config.yml says it, and the notebooks' first cells and the README follow.
address:
	@$(PYTHON) .github/address.py '$(URL)'

offline: _build/$(NAME).zip

pdf: _build/$(NAME).pdf _build/$(NAME)-zh.pdf

_build/$(NAME).zip: $(HTML)/.built
	$(BIN)/python book/_offline/archive.py $(HTML) $@

_build/$(NAME).pdf: $(HTML)/.built
	$(BIN)/python book/_offline/pdf.py $(HTML) $@

_build/$(NAME)-zh.pdf: $(HTML)/.built
	$(BIN)/python book/_offline/pdf.py $(HTML)/zh $@ --sources $(CHINESE)

site: offline pdf
	$(BIN)/python book/_offline/site.py $(HTML) _build/$(NAME).zip \
	  _build/$(NAME).pdf _build/$(NAME)-zh.pdf $(SITE)

serve: book
	$(BIN)/python -m http.server --bind localhost --directory $(HTML) $(PORT)

clean:
	rm -rf _build mutants $(VENV)

$(VENV)/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed. If it has another name: make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); \
	  echo "Python cannot make an environment. On Debian or Ubuntu: apt install python3-venv"; exit 1; }
	@echo "PyTorch into $(VENV)/: the largest part by far ..."
	@$(BIN)/$(PIP) install --constraint requirements.txt torch
	@echo "The other packages of requirements.txt ..."
	@$(BIN)/$(PIP) install -r requirements.txt
	@echo "The library ..."
	@$(BIN)/$(PIP) install --no-deps -e .
	@touch $@
