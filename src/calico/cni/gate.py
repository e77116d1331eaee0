"""When an endpoint is enforced and when it is gone: what the CNI service asks the agent's loop.

    worker --wait_until_in_force(key, revision)--> the loop's outcome (felix/in_force.py)
           --wait_until_gone(key)-->

A request is answered only when the rules and routes of its endpoint are in the kernel; an address
is freed only when nothing in the kernel speaks of it any more.
"""

from typing import Protocol

from calico.core.intent.keys import EndpointKey


class EndpointGate(Protocol):
    """What the loop publishes; every wait ends by its own deadline."""

    def wait_until_in_force(
        self, key: EndpointKey, revision: int, wait_seconds: float
    ) -> str | None:
        """Wait for the endpoint as of `revision` or later. None: in force; else why not yet."""
        ...

    def wait_until_gone(self, key: EndpointKey, wait_seconds: float) -> str | None:
        """Wait until nothing of the endpoint is in the kernel. None: gone; else why not."""
        ...


class OpenGate:
    """The gate of an agent without a loop: everything is always as wanted. For tests."""

    def wait_until_in_force(
        self,
        key: EndpointKey,  # noqa: ARG002  # the signature is the protocol's
        revision: int,  # noqa: ARG002
        wait_seconds: float,  # noqa: ARG002
    ) -> str | None:
        """Answer at once."""
        return None

    def wait_until_gone(
        self,
        key: EndpointKey,  # noqa: ARG002
        wait_seconds: float,  # noqa: ARG002
    ) -> str | None:
        """Answer at once."""
        return None
