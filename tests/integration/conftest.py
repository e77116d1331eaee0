"""Fixtures for tests on one node."""

from packets import net, node_with_pods  # noqa: F401
