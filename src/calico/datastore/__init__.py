"""Records in and out of etcd, with revisions, transactions and watches."""
