# The two commands of the README, the linters, and the pages of docs/ as site/. VENV chooses the folder of the environment, PYTHON who makes it,
# WORKERS how many processes of one thread share the tests.
VENV ?= .venv
DOCS ?= $(VENV)-docs
PYTHON ?= python3
WORKERS ?= 2
OPTIONS ?=
ONLY ?=
BIN := $(VENV)/bin

.PHONY: demo test lint docs formats corruptions house index golden golden-record

demo: $(VENV)/.demo
	$(BIN)/python tools/attack_gallery.py --config-file configs/quickstart.yaml $(OPTIONS)

test: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(OPTIONS)

# the acceptance table of models from other projects, by their own packages, in an environment of its
# own; REID_SOURCES names a folder of checkouts of those that have none, each called OWNER+REPOSITORY
formats: $(VENV)-formats/.made
	OMP_NUM_THREADS=1 $(abspath $(VENV)-formats)/bin/python -m pytest tests/models/formats -m "" -s $(OPTIONS)

# one after the other and partly without what they pin: torchattacks wants an old idna, fastreid an old torch,
# boxmot (AGPL-3.0, which is compared with and no more) an old OpenCV
$(VENV)-formats/.made: pyproject.toml
	$(PYTHON) -m venv $(VENV)-formats
	$(VENV)-formats/bin/python -m pip install --quiet '.[cpu,test]'
	$(VENV)-formats/bin/python -m pip install --quiet timm transformers huggingface_hub open_clip_torch openvino
	$(VENV)-formats/bin/python -m pip install --quiet --no-deps fastreid termcolor tabulate boxmot loguru rich
	$(VENV)-formats/bin/python -m pip install --quiet --no-deps --pre reid supervision pydeprecate defusedxml
	$(VENV)-formats/bin/python -m pip uninstall --quiet --yes torchreid_adv
	touch $@

# the corruptions beside the published code, kind by kind: differences, then speed; that code needs
# old versions, and so an environment of its own by a Python of at most 3.11
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

# the house in numbers: files, lines, imports, and the files that values cross
house: $(VENV)/.test
	$(BIN)/python tests/house.py

# what the registries hold, as torchreid-adv list and usage errors read it
index: $(VENV)/.test
	$(BIN)/python -m torchreid_adv.cli.index

# small runs of every command, compared with the hashes of tests/golden/golden.json; ONLY=help takes the entries with that word
golden: $(VENV)/.test
	$(BIN)/python tests/golden/record.py --only "$(ONLY)" $(OPTIONS)

golden-record: $(VENV)/.test
	$(BIN)/python tests/golden/record.py --record --only "$(ONLY)" $(OPTIONS)

# of an environment of its own: torchattacks and what builds pages want different versions of requests
docs: $(DOCS)/.docs
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict $(OPTIONS)

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
