"""Fixtures that every room's tests share."""

from netns import make_namespace, netns  # noqa: F401
