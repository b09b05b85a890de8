# Everything people do daily. Each target first makes .venv when it is absent or older than pyproject.toml.

.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
READY := .venv/.ready
# Tests wait more than they compute.
AT_ONCE := $(shell echo $$((2 * $$(nproc))))

.PHONY: generate help setup up down test conformance test-real test-docker lint types fmt fuzz bench bench-bazel proto clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | while IFS='	' read -r name text; do printf '  make %-11s %s\n' "$$name" "$$text"; done

setup: $(READY) ## Make .venv with everything (by uv where it is installed, else by pip)

$(READY): pyproject.toml .ci/setup.sh
	sh .ci/setup.sh
	@touch $@

up: $(READY) ## Bring up a cluster of three workers and run a real action on it
	.venv/bin/nlctl up --workers 3
	.venv/bin/nlctl run -- /bin/sh -c 'echo "Hello from a worker in $$PWD"'

down: $(READY) ## Stop that cluster; its data stays
	.venv/bin/nlctl down

# The folder of the suite is named once more so that its table is printed: a conftest of a mere subfolder is read too late.
test: $(READY) ## Run the tests that need nothing but Python
	$(PYTHON) -m pytest -n $(AT_ONCE) --dist worksteal tests tests/conformance

conformance: $(READY) ## Run the conformance suite alone; ARGS="--target grpc://HOST:PORT" judges another server
	$(PYTHON) -m pytest -n auto tests/conformance $(ARGS)

# Those in tests/real move their process into a network of its own, into which threads that gRPC has already do not follow,
# and from which no container is within reach: those have a target of their own.
test-real: $(READY) ## Install real clients (Bazel, buildbox, BuildStream, BuildGrid, moon) and run the tests that use them
	sh .ci/install-real-clients.sh
	$(PYTHON) -m pytest -n 2 --dist loadgroup -m "real or slow" --ignore tests/real --ignore tests/docker
	$(PYTHON) -m pytest -m "real or slow" tests/real

test-docker: $(READY) ## Start a Docker Engine and run the tests that use it (root)
	sh .ci/start-docker.sh
	$(PYTHON) -m pytest -m "real or slow" tests/docker

MINUTES ?= 10
SEED ?= 1
SITE ?= up
WORK ?= actions
PACE ?= quick

soak: $(READY) ## Do faults to a working cluster: make soak MINUTES=60 SEED=7 SITE=up|spread WORK=actions|builds PACE=quick|long (root)
	$(PYTHON) -m tests.faults.soak --site $(SITE) --work $(WORK) --pace $(PACE) --minutes $(MINUTES) --seed $(SEED) $(ARGS)

lint: $(READY) ## Check style, format and the floors
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/lint-imports

types: $(READY) ## Check types
	.venv/bin/mypy

fmt: $(READY) ## Format the code and mend what can be mended
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

fuzz: $(READY) ## Fuzz for longer: FUZZ_TIMES=N multiplies the number of examples (100 unless stated)
	FUZZ_TIMES=$${FUZZ_TIMES:-100} $(PYTHON) -m pytest -n auto tests/fuzz

bench: $(READY) ## Measure everything, also peers, and write the figures into docs/performance.md
	sh .ci/install-real-clients.sh
	sh .ci/start-docker.sh
	.venv/bin/nlctl image build --base nlctl-base --tag nlctl:tested
	$(PYTHON) tests/bench/report.py $(SECTIONS)

bench-bazel: $(READY) ## Measure one large Bazel build on our cluster and on casd, in turn (an hour, root)
	sh .ci/install-real-clients.sh
	$(PYTHON) -m tests.bench.bazel.side_by_side

proto: $(READY) ## Generate the protobuf modules from their sources
	$(PYTHON) server/nlserver/proto/generate.py

generate: $(READY) ## Write help pages, man pages, completions and reference pages from the code
	$(PYTHON) -m nlctl.generate

clean: ## Remove .venv and everything that was made
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
