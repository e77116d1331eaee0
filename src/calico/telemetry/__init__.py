"""Logs, metrics and health: what the programs say about themselves."""
