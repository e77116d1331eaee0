"""Addresses, prefixes, ports and the ranking of a node's own addresses."""
