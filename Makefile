# The two commands of the README, the linters, and the pages of docs/ as site/. VENV is the folder of the environment, PYTHON the program that creates it,
# WORKERS the number of single-threaded processes that share the tests.
VENV ?= .venv
DOCS ?= $(VENV)-docs
PYTHON ?= python3
WORKERS ?= 2
OPTIONS ?=
ONLY ?=
BIN := $(VENV)/bin
MINOR := $(shell sed -n 's/^__version__ = "\([0-9]*\.[0-9]*\).*/\1/p' torchreid_adv/version.py)

.PHONY: demo test lint docs docs-version formats corruptions house index golden golden-record

demo: $(VENV)/.demo
	$(BIN)/python tools/attack_gallery.py --config-file configs/quickstart.yaml $(OPTIONS)

test: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(OPTIONS)

# the acceptance table of models from other projects; REID_SOURCES names a folder of their
# checkouts, each called OWNER+REPOSITORY
formats: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/models/formats -m "" -s $(OPTIONS)

# the corruptions next to the published code, kind by kind: differences, then speed; that code needs
# old packages, in a separate environment with Python 3.11 or older
corruptions: $(VENV)/.test $(VENV)-corruptions/.made
	OMP_NUM_THREADS=1 CORRUPTIONS_ORACLE=$(abspath $(VENV)-corruptions)/bin/python $(BIN)/python -m pytest -q -s tests/corruptions/test_oracle.py $(OPTIONS)
	CORRUPTIONS_ORACLE=$(abspath $(VENV)-corruptions)/bin/python $(BIN)/torchreid-adv benchmark corruptions

$(VENV)-corruptions/.made:
	$(PYTHON) -m venv $(VENV)-corruptions
	$(VENV)-corruptions/bin/python -m pip install --quiet 'numpy<2' scikit-image==0.20.0 'scipy<1.12' 'opencv-python-headless<4.11' 'pillow<12' 'setuptools<81' imagecorruptions==1.1.2
	$(VENV)-corruptions/bin/python -m pip install --quiet --no-deps albumentations==0.5.2 imgaug==0.4.0 pyyaml six
	touch $@

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# the package in numbers: files, lines, imports, and the files that values cross
house: $(VENV)/.test
	$(BIN)/python tests/house.py

# the index of the registries, which torchreid-adv list and usage errors read
index: $(VENV)/.test
	$(BIN)/python -m torchreid_adv.cli.index

# small runs of every command, compared with the hashes of tests/golden/golden.json; ONLY=help takes the entries with that word
golden: $(VENV)/.test
	$(BIN)/python tests/golden/record.py --only "$(ONLY)" $(OPTIONS)

golden-record: $(VENV)/.test
	$(BIN)/python tests/golden/record.py --record --only "$(ONLY)" $(OPTIONS)

# in a separate environment: torchattacks and mkdocs need different versions of requests
docs: $(DOCS)/.docs
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict $(OPTIONS)

# the pages of this version as commits on the branch gh-pages: in the folder MAJOR.MINOR, and as
# latest, to which the start page leads; OPTIONS=--push publishes them
docs-version: $(DOCS)/.docs
	PATH="$(abspath $(DOCS))/bin:$$PATH" NO_MKDOCS_2_WARNING=1 mike deploy --update-aliases --alias-type copy $(OPTIONS) $(MINOR) latest
	PATH="$(abspath $(DOCS))/bin:$$PATH" mike set-default $(OPTIONS) latest

$(DOCS)/.docs: docs/requirements.txt
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet -r docs/requirements.txt
	touch $@

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# installed again when the code or what it needs changes
SOURCES := pyproject.toml setup.py $(shell find torchreid_adv benchmarks configs -name '*.py' -o -name '*.html' -o -name '*.js' -o -name '*.json' -o -name '*.yaml')

$(VENV)/.demo: $(VENV)/bin/python $(SOURCES)
	$(BIN)/python -m pip install --quiet '.[cpu]'
	touch $@

$(VENV)/.test: $(VENV)/bin/python $(SOURCES)
	$(BIN)/python -m pip install --quiet '.[cpu,test]'
	touch $@
