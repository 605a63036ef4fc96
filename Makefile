# The front door: nothing else knows how. `make help` lists what it can do.
.DEFAULT_GOAL := help
VENV := .venv
PY := $(VENV)/bin/python
BUSBAR := $(VENV)/bin/busbar
STAMP := $(VENV)/.bootstrapped
SITE ?= examples/demo.yaml
ARGS ?=
DAY ?= 2019-09-11
SEED ?= 1
SITES ?= 50000

.PHONY: help run test test-fast test-system test-browser check lint types imports drift budget proto bench soak peer-cases picture simulate lock clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

$(STAMP): requirements.lock pyproject.toml tools/bootstrap.sh
	@tools/bootstrap.sh
	@touch $@

run: $(STAMP)  ## set up, start the demo site (or SITE=file), print the page's address; Ctrl-C ends it
	@exec $(BUSBAR) up $(SITE) $(ARGS)

test: test-fast test-system  ## unit, contract, scenario, integration and the short system tests

test-fast: $(STAMP)
	$(PY) -m pytest -n 2 --dist loadgroup -m "not system and not chaos and not browser" $(ARGS)

test-system: $(STAMP)
	$(PY) -m pytest -m "system or chaos" $(ARGS)

test-browser: $(STAMP)  ## the page in headless Chromium (installs Debian's Chromium)
	@tools/bootstrap.sh chromium
	$(PY) -m pytest -m browser $(ARGS)

picture: $(STAMP)  ## refresh docs/page.png, the picture of the README
	@tools/bootstrap.sh chromium
	BUSBAR_PICTURE=docs/page.png $(PY) -m pytest -m browser -k fuses $(ARGS)

check: lint types imports drift budget test  ## everything CI asks for

lint: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(STAMP)
	$(VENV)/bin/mypy libs services tests tools

imports: $(STAMP)
	$(VENV)/bin/lint-imports

drift: $(STAMP)
	$(BUSBAR) proto --check proto

budget: $(STAMP)
	$(PY) tools/size_budget.py

proto: $(STAMP)  ## regenerate the published contracts in proto/
	$(BUSBAR) proto proto

bench: $(STAMP)  ## benchmarks, as ratios; tables are kept in docs/benchmarks.md
	PYTHONPATH=tests $(PY) -m bench.bench $(ARGS)

soak: $(STAMP)  ## the allocator against ground truth on SITES random sites, at low priority (about an hour a core)
	BUSBAR_SOAK=$(SITES) nice -n 19 $(PY) -m pytest -n 2 -rP tests/unit/test_allocator_truth.py \
		tests/unit/test_allocator_properties.py tests/unit/test_allocator_soak.py \
		tests/unit/test_allocator_causality.py tests/system/test_thousand_cycles.py $(ARGS)

peer-cases: $(STAMP)  ## refresh docs/peer-cases.md
	$(PY) tests/peercases/ledger.py --write

simulate: $(STAMP)  ## one day of the demo site in virtual time (DAY, SEED)
	$(BUSBAR) simulate $(SITE) --day $(DAY) --seed $(SEED) $(ARGS)

lock: $(STAMP)  ## refresh requirements.lock (hashes only, no addresses)
	$(PY) -m pip install --quiet uv
	$(VENV)/bin/uv pip compile --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
		--all-extras --quiet pyproject.toml -o requirements.lock

clean:  ## remove what the other targets made
	rm -rf $(VENV) .venv-peers .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache var build
