#!/bin/sh
# What needs a kernel that this machine may not have: the virtual machine itself, then inside it
# every test that says so. A minute and some with KVM; a quarter of an hour without.
#   scripts/test-vm.sh VENV
set -eu
cd "$(dirname "$0")/.."
venv=$1
printf '\n== the virtual machine\n'
scripts/vm.sh -- true < /dev/null
"$venv/bin/pytest" -v --durations=5 tests/vm
printf '\n== inside it\n'
exec scripts/vm.sh --seconds 1500 -- "$venv/bin/pytest" -v -p no:cacheprovider --durations=5 \
  tests/contract/test_features.py tests/contract/test_tunnel_devices.py tests/lab/test_ipip.py < /dev/null
