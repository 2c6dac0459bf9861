# `make` alone lists the targets.
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

env: $(STAMP) ## make .venv with the locked packages and this project

$(STAMP): requirements.lock pyproject.toml scripts/env
	scripts/env $(VENV)
	@touch $@

core: env ## compile the C core again after a change of it
	$(MAKE) -C firmware/core

demo: env ## build a model, start a broker and a fleet, and watch it learn
	$(BIN)/microfed run examples/digits.toml

test: core ## install what the tests need where allowed, then check and test everything
	scripts/system-packages
	scripts/check $(BIN)
	scripts/test $(BIN)

check: env ## format, lint, types, import rules, C warnings and linters
	scripts/check $(BIN)

models: env ## build the released models again
	for name in digits har fashion speech; do \
	    $(BIN)/microfed build examples/$$name.toml --out tflite_models/$$name || exit; done

peers: env ## make .venv-peers, the simulators that `microfed bench fleet` runs beside ours
	scripts/peers

lock: env ## pin the newest versions that pyproject.toml allows
	scripts/lock $(BIN)

clean: ## remove what was built or run here
	rm -rf $(VENV) .venv-peers build dist runs .mypy_cache .pytest_cache .ruff_cache .hypothesis core/libmicrofed.so

.PHONY: help env core demo test check models peers lock clean
