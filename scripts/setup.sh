#!/bin/sh
# Install what the lab and the tests need: Debian packages (once, if one is missing) and the
# locked Python packages in a virtual environment. Leaves no service running that was not before.
#   scripts/setup.sh VENV PYTHON
set -eu
cd "$(dirname "$0")/.."
venv=$1 python=$2

packages="bird2 conntrack containernetworking-plugins etcd-client etcd-server ipset iproute2
iptables iputils-ping libc-bin nftables procps python3-venv tcpdump util-linux"

missing=""
for package in $packages; do
  dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
if [ -n "$missing" ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "setup: these Debian packages are missing and only root can install them:$missing" >&2
    exit 1
  fi
  echo "setup: installing Debian packages:$missing"
  # Debian starts etcd and BIRD when it installs them; a policy-rc.d that forbids it, for now only.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT INT TERM
  fi
  log=$(mktemp)
  if ! { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install $missing; } > "$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "setup: apt-get failed; the last lines are above, the whole log is $log" >&2
    exit 1
  fi
  rm -f "$log"
  # ... nor may the next boot start what this machine did not start before.
  for unit in etcd bird bird6; do
    case "$missing" in
      *" $unit"*)
        systemctl disable "$unit" > /dev/null 2>&1 || true
        update-rc.d "$unit" disable > /dev/null 2>&1 || true
        ;;
    esac
  done
fi

stamp=$venv/.installed
wanted=$(cat requirements.lock pyproject.toml | cksum)
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
  echo "setup: installing Python packages into $venv"
  [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
  "$venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
  "$venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
  printf '%s\n' "$wanted" > "$stamp"
fi
