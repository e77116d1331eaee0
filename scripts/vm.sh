#!/bin/sh
# Run a command in a virtual machine that sees this machine's files and has every kernel module
# that Calico can use. Installs QEMU if it is missing; the kernel is fetched, not installed.
#   scripts/vm.sh [--seconds N] [--] COMMAND ...
set -eu
root=$(dirname "$(dirname "$(readlink -f "$0")")")
missing=""
for need in qemu-system-x86_64:qemu-system-x86 setpriv:util-linux modprobe:kmod; do
  PATH=$PATH:/usr/sbin:/sbin command -v "${need%%:*}" > /dev/null 2>&1 || missing="$missing ${need##*:}"
done
if [ -n "$missing" ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "vm: these Debian packages are missing and only root can install them:$missing" >&2
    exit 125
  fi
  echo "vm: installing Debian packages:$missing" >&2
  log=$(mktemp)
  if ! { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install $missing; } > "$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "vm: apt-get failed; the last lines are above, the whole log is $log" >&2
    exit 125
  fi
  rm -f "$log"
fi
exec "$root/.venv/bin/python" -m calico.lab.vm "$@"
