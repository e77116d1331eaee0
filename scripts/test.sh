#!/bin/sh
# Every test that one machine can run. Prints progress; ends with pytest's own closing line.
#   scripts/test.sh VENV [pytest arguments]
set -eu
cd "$(dirname "$0")/.."
venv=$1
shift
if [ "$(id -u)" != 0 ]; then
  echo "test: run as root: most tests make network namespaces" >&2
  exit 1
fi
scripts/check.sh "$venv"
printf '\n== contract, integration, conformance and lab tests\n'
"$venv/bin/pytest" -v --durations=15 tests/contract tests/integration tests/conformance tests/lab "$@"
