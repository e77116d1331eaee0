#!/bin/sh
# Turn etcd.proto into Python. The result is committed: only a change of etcd.proto needs this.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
$PYTHON -m grpc_tools.protoc -Isrc --python_out=src --pyi_out=src \
  src/calico/datastore/etcd_rpc/etcd.proto
