# Two commands matter: `make book` builds the book, `make test` checks everything.
# Both put what they need into .venv on first use, and both need only Python >= 3.11 and git.

PYTHON    ?= python3
VENV      := .venv
BIN       := $(VENV)/bin
HTML      := _build/html
SITE      := _build/site
NAME      := learning-to-learn
PORT      ?= 8000
THREADS   ?= 1
PINS      ?= requirements.txt
NOTEBOOKS ?= $(shell find book -name '*.ipynb' -not -path '*/.*' | sort)

# One file of tests, or one notebook, on each core.
PARALLEL := --numprocesses auto --dist loadfile

LIBRARY := $(shell find meta_lib -type f -not -name '*.pyc')
SOURCES := _config.yml _toc.yml $(shell find book -type f -not -name '*.pyc' -not -path '*/.*')

# One thread, so that the numbers do not depend on how many cores a machine has.
export OMP_NUM_THREADS ?= 1
# Progress bars are for people at work, not for stored outputs.
export TQDM_DISABLE := 1

.PHONY: help book test alone colab notebooks results seeds mutants benchmarks links address serve offline \
  pdf site clean

help:
	@echo "make book       build the book in $(HTML)/"
	@echo "make test       check the code, run the notebooks, build the book and check it"
	@echo "make alone      run each notebook by itself, with only the library's wheel and Jupyter"
	@echo "make colab      the same with the versions that Google Colab has today"
	@echo "make notebooks  run the notebooks and store their outputs (NOTEBOOKS=... for some only)"
	@echo "make results    list the recorded runs and make those that are missing (RUNS=... for some only)"
	@echo "make seeds      try the chapters' verdicts with seeds that the text does not use (CHAPTERS=...)"
	@echo "make benchmarks measure the library beside others, by THREADS=1 or more (benchmarks/README.md)"
	@echo "make mutants    break the algorithms line by line and see what the tests notice (20 minutes)"
	@echo "make links      ask every address that the book links whether it is still there"
	@echo "make address    say where the repository lies: URL=https://github.com/OWNER/NAME"
	@echo "make serve      show the book at http://localhost:$(PORT)/ (PORT=... for another port)"
	@echo "make offline    pack the book into _build/$(NAME).zip, which opens from the file system"
	@echo "make pdf        print the book into _build/$(NAME).pdf; this needs Chromium"
	@echo "make site       put book, zip and PDF together in $(SITE)/, to be published"
	@echo "make clean      remove the built book and the Python environment"

book: $(HTML)/.built
	@echo "The book is in $(HTML)/: open $(HTML)/index.html in a browser, or run: make serve"

# Any warning fails the build, and so does a failing cell. All pages are made anew (--all), which
# takes seconds; what takes time is running the notebooks, and that is cached.
$(HTML)/.built: $(VENV)/.installed _build/.library $(SOURCES)
	@rm -rf $(HTML)
	@$(BIN)/jupyter-book build --all -W --keep-going -n . || { $(SHOW_FAILED_CELLS); exit 1; }
	@touch $@

SHOW_FAILED_CELLS = for log in $$(find $(HTML)/reports -name '*.err.log' 2>/dev/null); do \
	  echo "FAILED CHAPTER: $${log\#$(HTML)/reports/}" | sed 's/\.err\.log$$//'; \
	  sed -n '/^nbclient/,$$p' $$log; done

# The cache knows a notebook by its own cells. When the library or a package has changed,
# the cache goes, and every notebook is run again.
_build/.library: $(VENV)/.installed $(LIBRARY)
	@rm -rf _build/.jupyter_cache
	@mkdir -p _build
	@touch $@

test: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/typos
	$(BIN)/pytest $(PARALLEL) --ignore-glob 'tests/test_built_*.py'
	@$(MAKE) --no-print-directory alone
	@$(MAKE) --no-print-directory book
	$(BIN)/pytest $(PARALLEL) tests/test_built_*.py

# Each notebook by itself: in an empty folder, and in an environment with nothing but the wheel of
# the library, what the wheel asks for, and Jupyter. Its outputs must be those that are stored,
# unless PINS names other versions than the book's own.
ALONE := _build/alone
alone: $(VENV)/.installed
	@rm -rf $(ALONE) build
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps \
	  --no-build-isolation --wheel-dir $(ALONE) .
	@rm -rf build
	@$(PYTHON) -m venv $(ALONE)/venv
	@$(ALONE)/venv/bin/python -m pip install --quiet --disable-pip-version-check \
	  --constraint $(PINS) $(ALONE)/*.whl ipykernel nbval pytest-xdist
	@for notebook in $(NOTEBOOKS); do folder=$(ALONE)/run/$$(basename $$notebook .ipynb); \
	  mkdir -p $$folder && cp $$notebook $$folder || exit 1; done
	cd $(ALONE) && venv/bin/pytest $(PARALLEL) -W default run \
	  $(if $(filter requirements.txt,$(PINS)),--nbval,--nbval-lax) \
	  --nbval-sanitize-with $(CURDIR)/tests/nbval_sanitize.cfg

# The same with the versions that Google Colab has today, as far as they can be had.
COLAB := https://raw.githubusercontent.com/googlecolab/backend-info/main/pip-freeze.txt
colab:
	@mkdir -p _build
	@curl --fail --silent --show-error --location $(COLAB) | sed -nE \
	  -e 's|^([A-Za-z0-9_.-]+==[0-9][0-9a-z.]*)(\+.*)?$$|\1|p' \
	  -e 's|^torch @ .*/torch-([0-9.]+)[^0-9.].*|torch==\1|p' > _build/colab.txt
	@$(MAKE) --no-print-directory alone PINS=_build/colab.txt

notebooks: $(VENV)/.installed
	$(BIN)/jupyter nbconvert --to notebook --inplace --execute \
	  --ExecutePreprocessor.timeout=300 --ExecutePreprocessor.record_timing=False \
	  --ExecutePreprocessor.store_widget_state=False $(NOTEBOOKS)
	$(BIN)/jupyter nbconvert --coalesce-streams --inplace $(NOTEBOOKS)

results: $(VENV)/.installed
	$(BIN)/python results/make.py $(if $(RUNS),$(RUNS),--all)

seeds: $(VENV)/.installed
	$(BIN)/python -m seeds $(CHAPTERS)

benchmarks: book
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	@for of in maml lstm_optimizer siamese; do \
	  $(BIN)/python benchmarks/$$of.py --threads $(THREADS) || exit 1; done
	$(BIN)/python benchmarks/pages.py
	$(BIN)/python benchmarks/figures.py

# Breaks each line of the algorithms in turn; what the tests do not notice is listed at the end.
mutants: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/mutmut run
	$(BIN)/mutmut results

# Asks the whole world, so it is no part of `make test`.
links: $(VENV)/.installed
	$(BIN)/jupyter-book build --all --builder linkcheck .

# Where the repository lies: _config.yml says it, and the notebooks' first cells and the README follow.
address:
	@$(PYTHON) .github/address.py '$(URL)'

offline: _build/$(NAME).zip

pdf: _build/$(NAME).pdf

_build/$(NAME).zip: $(HTML)/.built
	$(BIN)/python book/_offline/archive.py $(HTML) $@

_build/$(NAME).pdf: $(HTML)/.built
	$(BIN)/python book/_offline/pdf.py $(HTML) $@

site: offline pdf
	$(BIN)/python book/_offline/site.py $(HTML) _build/$(NAME).zip _build/$(NAME).pdf $(SITE)

serve: book
	$(BIN)/python -m http.server --bind localhost --directory $(HTML) $(PORT)

clean:
	rm -rf _build mutants $(VENV)

$(VENV)/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed. If it has another name: make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); \
	  echo "Python cannot make an environment. On Debian or Ubuntu: apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@
