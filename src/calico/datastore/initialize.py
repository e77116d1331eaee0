"""Make an empty datastore a Calico one: ClusterInformation and the three built-in tiers.

    ensure_initialized --> ClusterInformation "default": identity, version, type, datastoreReady
                       `-> tiers kube-admin, default, kube-baseline

Every program may call it, at any time, any number of times and at once with others: what is there
is completed, never overwritten, and an explicit `datastoreReady: false` is somebody's wish.

Source: shared/spec datastore-etcd 1.5.
"""

import logging
import time
import uuid
from collections.abc import Callable

from msgspec.structs import replace

from calico.core.model.cluster import ClusterInformation, ClusterInformationSpec
from calico.core.model.keys import ResourceKey
from calico.core.model.metadata import Metadata
from calico.core.model.tier import BUILT_IN, Tier, TierSpec
from calico.datastore.client import DatastoreError, Refused
from calico.datastore.resource_errors import AlreadyExists, DoesNotExist, UpdateConflict
from calico.datastore.resources import Resources

log = logging.getLogger(__name__)

KEY = ResourceKey(ClusterInformation.__name__, "", "default")
ATTEMPTS = 10
RETRY_SECONDS = 1.0


def ensure_initialized(
    resources: Resources,
    calico_version: str = "",
    cluster_type: str = "",
    pause: Callable[[float], None] = time.sleep,
    new_guid: Callable[[], str] = lambda: uuid.uuid4().hex,
) -> None:
    """Attempt every step; then raise the first error that a step met."""
    errors: list[DatastoreError] = []
    wanted = ClusterInformationSpec(
        cluster_guid=new_guid(), calico_version=calico_version, cluster_type=cluster_type
    )
    try:
        _ensure_cluster_information(resources, wanted, pause)
    except DatastoreError as error:
        errors.append(error)
    for name in BUILT_IN:
        try:
            _ensure_tier(resources, name)
        except DatastoreError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def completed(
    spec: ClusterInformationSpec, wanted: ClusterInformationSpec
) -> ClusterInformationSpec:
    """Return the stored description with what it lacks."""
    types = [part for part in spec.cluster_type.split(",") if part]
    types += [part for part in wanted.cluster_type.split(",") if part and part not in types]
    return replace(
        spec,
        cluster_guid=spec.cluster_guid or wanted.cluster_guid,
        calico_version=wanted.calico_version or spec.calico_version,
        cluster_type=",".join(types) if wanted.cluster_type else spec.cluster_type,
        datastore_ready=True if spec.datastore_ready is None else spec.datastore_ready,
    )


def _ensure_cluster_information(
    resources: Resources, wanted: ClusterInformationSpec, pause: Callable[[float], None]
) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _complete_cluster_information(resources, wanted)
        except (AlreadyExists, UpdateConflict):  # another program was faster: look again
            if attempt == ATTEMPTS:
                raise
            pause(RETRY_SECONDS)
        else:
            return


def _complete_cluster_information(resources: Resources, wanted: ClusterInformationSpec) -> None:
    try:
        found = resources.get(KEY)
    except DoesNotExist:
        spec = completed(ClusterInformationSpec(), wanted)
        resources.create(ClusterInformation(metadata=Metadata(name=KEY.name), spec=spec))
        return
    if isinstance(found, ClusterInformation):
        spec = completed(found.spec, wanted)
        if spec != found.spec:
            resources.update(replace(found, spec=spec))


def _ensure_tier(resources: Resources, name: str) -> None:
    order, action = BUILT_IN[name]
    tier = Tier(metadata=Metadata(name=name), spec=TierSpec(order=order, default_action=action))
    try:
        resources.create(tier)
    except AlreadyExists:
        return
    except Refused as error:  # a user who may not create tiers can still use them
        log.warning("tier not created", extra={"tier": name, "reason": str(error)})
