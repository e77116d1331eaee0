"""One rule of a policy or profile, as people write it.

    Rule: action, what kind of packet, source: EntityRule, destination: EntityRule
    all that is present must hold; a list is "any of", a negated list "none of"

An entity rule that asks nothing is the one shared ANYTHING, which is left out of the JSON.

Source: api/pkg/apis/projectcalico/v3/policy_common.go; policy-semantics 3.4.
"""

from collections.abc import Mapping

from msgspec import field
from msgspec.structs import force_setattr

from calico.core.model.metadata import ApiStruct
from calico.core.model.scalars import settle_numbers, settle_ports


class ICMPFields(ApiStruct, frozen=True):
    """An ICMP type and code; None is "any"."""

    type: int | None = None
    code: int | None = None


class ServiceMatch(ApiStruct, frozen=True):
    """The Kubernetes Service whose endpoints are meant."""

    name: str = ""
    namespace: str = ""


class ServiceAccountMatch(ApiStruct, frozen=True):
    """The service accounts whose pods are meant."""

    names: tuple[str, ...] = ()
    selector: str = ""


class EntityRule(ApiStruct, frozen=True):
    """What a rule asks of the packet's source or destination. Empty: nothing.

    A port is a number, a span "first:last" or the name of an endpoint's port.
    """

    nets: tuple[str, ...] = ()
    selector: str = ""
    namespace_selector: str = ""
    services: ServiceMatch | None = None
    ports: tuple[int | str, ...] = ()
    not_nets: tuple[str, ...] = ()
    not_selector: str = ""
    not_ports: tuple[int | str, ...] = ()
    service_accounts: ServiceAccountMatch | None = None

    def __post_init__(self) -> None:
        settle_ports(self, "ports", "not_ports")


ANYTHING = EntityRule()


class HTTPPath(ApiStruct, frozen=True):
    """A path that must equal `exact` or lie under `prefix`."""

    exact: str = ""
    prefix: str = ""


class HTTPMatch(ApiStruct, frozen=True):
    """What a rule asks of an HTTP request; the packet path ignores it."""

    methods: tuple[str, ...] = ()
    paths: tuple[HTTPPath, ...] = ()


class RuleMetadata(ApiStruct, frozen=True):
    """Annotations, shown as the rule's comment."""

    annotations: Mapping[str, str] = {}


class Rule(ApiStruct, frozen=True):
    """One rule; a protocol is a name ("TCP") or a number."""

    action: str = field(default_factory=str)
    ip_version: int | None = None
    protocol: int | str | None = None
    icmp: ICMPFields | None = None
    not_protocol: int | str | None = None
    not_icmp: ICMPFields | None = None
    source: EntityRule = ANYTHING
    destination: EntityRule = ANYTHING
    http: HTTPMatch | None = None
    metadata: RuleMetadata | None = None

    def __post_init__(self) -> None:
        settle_numbers(self, "protocol", "not_protocol")
        # Left out of the JSON only when it is the default itself, so equal ones become it.
        if self.source is not ANYTHING and self.source == ANYTHING:
            force_setattr(self, "source", ANYTHING)
        if self.destination is not ANYTHING and self.destination == ANYTHING:
            force_setattr(self, "destination", ANYTHING)
