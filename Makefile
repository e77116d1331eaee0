# Everything a person types. `make` alone prints this list.
PYTHON ?= python3
VENV := .venv
LAB := $(VENV)/bin/calico-lab
TOPOLOGY ?= examples/three-nodes.yaml
CONFIG ?= examples/config.yaml

.DEFAULT_GOAL := help
.PHONY: help setup lab lab-down lab-vm test test-vm check fix bench lock clean

help:         ## print this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup:        ## install the Debian and Python packages that lab and test need
	@scripts/setup.sh $(VENV) $(PYTHON)

lab: setup    ## set up everything, run a three-node cluster on this machine
	@$(LAB) up $(TOPOLOGY) --config $(CONFIG)

lab-down:     ## remove every trace of it
	@if [ -x $(LAB) ]; then $(LAB) down; else echo "no lab: nothing was ever set up here"; fi

lab-vm: setup ## the lab in a virtual machine whose kernel has everything; on a terminal, a shell inside
	@scripts/lab-vm.sh $(LAB) $(TOPOLOGY) $(CONFIG)

test: setup   ## set up everything, run every test that one machine can run (root)
	@scripts/test.sh $(VENV)

test-vm: setup ## what this machine's kernel may not have: tests in a virtual machine (root)
	@scripts/test-vm.sh $(VENV)

check: setup  ## what every commit needs: format, lint, types, contracts, unit + property; < 60 s
	@scripts/check.sh $(VENV)

fix: setup    ## format and repair what can be repaired
	$(VENV)/bin/ruff format src tests
	$(VENV)/bin/ruff check --fix src tests

bench: setup  ## the table of figures: ours, the target, the original's
	@$(VENV)/bin/python -m tests.bench

lock:         ## pin the Python packages of pyproject.toml again (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --extra dev pyproject.toml -o requirements.lock

clean:        ## remove what setup and the tests made in this folder
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build
