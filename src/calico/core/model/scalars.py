"""Bring scalars that may be written in several ways to the one way they are stored.

    protocol "6" -> 6        port "80", "80:80" -> 80        DSCP "23" -> 23

Called as a part is made, from JSON or by hand, so that equal values are equal everywhere. What
cannot be read stays as it is, for the checks to report.

Source: api/pkg/lib/numorstring; datastore-etcd 1.2.1.
"""

from msgspec.structs import force_setattr

from calico.core.model.metadata import ApiStruct
from calico.core.net.ports import canonical_port, number_or_name


def settle_numbers(part: ApiStruct, *attributes: str) -> None:
    """Turn protocols and DSCPs that are digits into numbers."""
    for attribute in attributes:
        value: object = getattr(part, attribute)
        if isinstance(value, str):
            force_setattr(part, attribute, number_or_name(value))


def settle_ports(part: ApiStruct, *attributes: str) -> None:
    """Turn ports, alone or in lists, into the form that is stored."""
    for attribute in attributes:
        value: object = getattr(part, attribute)
        if isinstance(value, str):
            force_setattr(part, attribute, canonical_port(value))
        elif isinstance(value, tuple) and any(isinstance(port, str) for port in value):
            force_setattr(part, attribute, tuple(canonical_port(port) for port in value))
