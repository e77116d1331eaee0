#!/bin/sh
# A lab in a virtual machine. On a terminal it ends with a shell inside, the lab running around it.
#   scripts/lab-vm.sh LAB TOPOLOGY CONFIG
set -eu
cd "$(dirname "$0")/.."
story='"$0" up "$1" --config "$2" && if [ -t 0 ]; then eval "$("$0" env)"; exec bash; fi'
exec scripts/vm.sh --seconds 86400 -- sh -c "$story" "$@"
