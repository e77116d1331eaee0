#!/bin/sh
# What every commit needs, under a minute: format, lint, types, import contracts, unit + property.
#   scripts/check.sh VENV
set -eu
cd "$(dirname "$0")/.."
bin=$1/bin
step() { printf '\n== %s\n' "$*"; }
step format && "$bin/ruff" format --check src tests
step lint && "$bin/ruff" check src tests
step types && "$bin/mypy"
step contracts && "$bin/lint-imports" --no-cache
step "unit and property tests" && "$bin/pytest" -q tests/test_house.py tests/unit tests/property
