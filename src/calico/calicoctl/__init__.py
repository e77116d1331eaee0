"""The command line: resources, IPAM, node status, installation."""
