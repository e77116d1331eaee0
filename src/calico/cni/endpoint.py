"""The records a container leaves in the datastore: its WorkloadEndpoint, and perhaps a profile.

    identity + configuration + addresses + pair --> WorkloadEndpoint, as the original writes it

Without a Kubernetes API the container's labels come with the configuration ("args.cni.labels").
For Kubernetes the profiles are those of the namespace and of the service account (`default`, if no
label `projectcalico.org/serviceaccount` says otherwise), and whoever keeps those profiles makes
them. Otherwise there is one profile, named after the network, made with its first container.

Source: shared/spec cni 4.4 steps 8 to 13, datastore-etcd 1.2.4, 1.11.
"""

import uuid
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from calico.cni.errors import BAD_CONFIG, CniError
from calico.cni.identity import Identity
from calico.cni.settings import NetworkConfig
from calico.core.ipam.times import rfc3339
from calico.core.model.checks import check
from calico.core.model.codec import encode
from calico.core.model.endpoint import WorkloadEndpoint, WorkloadEndpointSpec
from calico.core.model.keys import ResourceKey, path_of
from calico.core.model.metadata import Metadata
from calico.core.model.problem import error_text
from calico.core.model.profile import Profile, ProfileSpec
from calico.core.model.rule import EntityRule, Rule
from calico.core.net.prefix import ip_version

NAMESPACE_LABEL = "projectcalico.org/namespace"
ORCHESTRATOR_LABEL = "projectcalico.org/orchestrator"
SERVICE_ACCOUNT_LABEL = "projectcalico.org/serviceaccount"


class Plug(Struct, frozen=True):
    """Where a container is plugged in: what the kernel's side of its endpoint is."""

    host_interface: str
    mac: str
    addresses: tuple[str, ...]  # without lengths


def profiles_of(identity: Identity, config: NetworkConfig) -> tuple[str, ...]:
    """Name the endpoint's profiles."""
    if not config.is_kubernetes:
        return (config.name,)
    account = service_account(identity, config)
    return (f"kns.{identity.namespace}", f"ksa.{identity.namespace}.{account}")


def service_account(identity: Identity, config: NetworkConfig) -> str:
    """Name the pod's service account, "" for what is no pod."""
    if identity.orchestrator != "k8s" or not config.is_kubernetes:
        return ""
    return config.labels.get(SERVICE_ACCOUNT_LABEL) or "default"


def workload_endpoint(
    identity: Identity,
    config: NetworkConfig,
    plug: Plug,
    now: int,
    existing: WorkloadEndpoint | None = None,
) -> WorkloadEndpoint:
    """Describe the endpoint; one that exists keeps its identity. Raises CniError if invalid."""
    account = service_account(identity, config)
    metadata = existing.metadata if existing else Metadata()
    endpoint = WorkloadEndpoint(
        metadata=msgspec.structs.replace(
            metadata,
            name=identity.endpoint_name,
            namespace=identity.namespace,
            uid=metadata.uid or str(uuid.uuid4()),
            creation_timestamp=metadata.creation_timestamp or rfc3339(now),
            labels=_labels(identity, config.labels, account),
            resource_version="",
        ),
        spec=WorkloadEndpointSpec(
            orchestrator=identity.orchestrator,
            node=identity.node,
            container_id=identity.container,
            pod=identity.workload if identity.orchestrator == "k8s" else "",
            endpoint=identity.interface,
            service_account_name=account,
            ip_networks=tuple(map(host_network, plug.addresses)),
            profiles=profiles_of(identity, config),
            interface_name=plug.host_interface,
            mac=plug.mac,
        ),
    )
    if found := check(endpoint):
        raise CniError(BAD_CONFIG, "the endpoint would not be valid", error_text(found))
    return endpoint


def network_profile(identity: Identity, config: NetworkConfig, now: int) -> tuple[str, bytes]:
    """Give path and record of the profile that a network makes for itself."""
    source = (
        EntityRule()
        if identity.orchestrator == "k8s"
        else EntityRule(selector=f"has({config.name})")
    )
    profile = Profile(
        metadata=Metadata(name=config.name, uid=str(uuid.uuid4()), creation_timestamp=rfc3339(now)),
        spec=ProfileSpec(
            ingress=(Rule(action="Allow", source=source),),
            egress=(Rule(action="Allow"),),
            labels_to_apply={config.name: ""},
        ),
    )
    return profile_path(config.name), encode(profile)


def profile_path(name: str) -> str:
    """Give the path of a profile."""
    return path_of(ResourceKey("Profile", "", name))


def addresses_of(endpoint: WorkloadEndpoint) -> tuple[str, ...]:
    """List an endpoint's addresses without lengths."""
    return tuple(network.partition("/")[0] for network in endpoint.spec.ip_networks)


def host_network(address: str) -> str:
    """Write an address as a network of its own."""
    return f"{address}/{32 if ip_version(address) == 4 else 128}"


def attributes(identity: Identity, timestamp: str) -> Mapping[str, str]:
    """Describe the owner of an address, as address management keeps it."""
    described = {"node": identity.node, "timestamp": timestamp}
    if identity.orchestrator == "k8s":
        described |= {"pod": identity.workload, "namespace": identity.namespace}
    return described


def _labels(identity: Identity, given: Mapping[str, str], account: str) -> Mapping[str, str]:
    labels = {
        **given,
        NAMESPACE_LABEL: identity.namespace,
        ORCHESTRATOR_LABEL: identity.orchestrator,
    }
    # A label's value has at most 63 characters, a service account's name may have more
    if account and len(account) < 63:
        labels[SERVICE_ACCOUNT_LABEL] = account
    return labels
