"""Carry out IPAM decisions against the datastore by compare-and-swap."""
