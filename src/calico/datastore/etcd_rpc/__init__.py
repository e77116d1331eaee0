"""Generated from etcd.proto by scripts/generate_etcd_rpc.sh; never edited by hand."""
