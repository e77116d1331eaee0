"""What every agent does before it can be wired: settings, datastore, readiness.

    environment, felix.cfg --> local settings --> datastore --ready?--> all settings merged

Until the datastore can be reached and says it is ready the agent waits, here, a second at a time;
the kernel keeps what the last agent left.

Source: shared/spec felix 6.1, 6.2.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from socket import gethostname

from calico.core.model.codec import decode
from calico.core.model.keys import ResourceKey, key_of, kind_prefix
from calico.core.model.problem import InvalidResource
from calico.datastore.client import Datastore, DatastoreError
from calico.datastore.settings import Settings, datastore_settings
from calico.felix.config import Merged, Source, environment_source, file_source
from calico.felix.parameters import FelixConfig
from calico.felix.sources import ConfigWatch
from calico.telemetry.log import Repeats

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
READ_KINDS = ("ClusterInformation", "FelixConfiguration", "Node")

# calico-node's variables, and the parameters they stand for.
NODE_VARIABLES = {
    "NODENAME": "FelixHostname",
    "ETCD_ENDPOINTS": "EtcdEndpoints",
    "ETCD_CA_CERT_FILE": "EtcdCaFile",
    "ETCD_KEY_FILE": "EtcdKeyFile",
    "ETCD_CERT_FILE": "EtcdCertFile",
    "DATASTORE_TYPE": "DatastoreType",
}


class FatalSettings(Exception):
    """The settings cannot be used; each line names source, parameter, value and fix."""


def local_sources(environment: Mapping[str, str], config_file: Path) -> list[Source]:
    """Read environment and file. Raises FatalSettings for a file that is not INI."""
    mapped = {name: environment[v] for v, name in NODE_VARIABLES.items() if environment.get(v)}
    sources = [environment_source(environment), Source("environment", mapped, local=True)]
    try:
        sources.append(file_source(str(config_file), config_file.read_text()))
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise FatalSettings(f"{config_file}: {error}") from error
    return sources


def checked(merged: Merged) -> FelixConfig:
    """Log what is wrong but harmless. Raises FatalSettings for what is not."""
    fatal = [str(problem) for problem in merged.problems if problem.fatal]
    if fatal:
        raise FatalSettings("\n".join(fatal))
    for problem in merged.problems:
        log.warning("setting ignored, its default is used", extra={"setting": str(problem)})
    if merged.not_acted_on:
        names = ",".join(merged.not_acted_on)
        log.warning("settings that this agent does not act on", extra={"settings": names})
    return merged.config


def node_name(config: FelixConfig) -> str:
    """Return the name this agent goes by: FelixHostname, else the kernel's, in lower case."""
    return config.felix_hostname or gethostname().strip().lower()


def store_settings(environment: Mapping[str, str], config: FelixConfig) -> Settings:
    """Say where the datastore is. Raises SettingsError."""
    endpoints = config.etcd_endpoints or f"{config.etcd_scheme}://{config.etcd_addr}"
    overrides = {
        "datastoreType": config.datastore_type,
        "etcdEndpoints": endpoints,
        "etcdKeyFile": config.etcd_key_file,
        "etcdCertFile": config.etcd_cert_file,
        "etcdCACertFile": config.etcd_ca_file,
    }
    return datastore_settings(environment, None, {k: v for k, v in overrides.items() if v})


def read_settings(
    datastore: Datastore,
    local: Sequence[Source],
    name: str,
    wait: Callable[[float], bool],
    blocked: Callable[[str], None],
) -> ConfigWatch | None:
    """Wait for a ready datastore; return the settings as stored there.

    `wait(seconds)` returns True when the agent is to stop; then the answer is None. `blocked` is
    told why it takes so long.
    """
    failures = Repeats()
    while True:
        watch = ConfigWatch(local, name)
        try:
            reason = "" if _feed(datastore, watch) else (
                "the datastore is not initialised: no ClusterInformation `default`; run "
                "`calicoctl install`"
            )  # fmt: skip
        except DatastoreError as error:
            reason = str(error)
        if not reason and watch.is_ready:
            return watch
        reason = reason or "ClusterInformation `default` says datastoreReady: false"
        blocked(reason)
        if times := failures.note("datastore", reason):
            log.warning("waiting for the datastore", extra={"reason": reason, "times": times})
        if wait(RETRY_SECONDS):
            return None


def _feed(datastore: Datastore, watch: ConfigWatch) -> bool:
    """Feed all that settings depend on; False if the datastore was never initialised."""
    is_initialised = False
    for kind in READ_KINDS:
        for entry in datastore.list(kind_prefix(kind)).entries:
            key = key_of(entry.path)
            if not isinstance(key, ResourceKey):
                continue
            is_initialised |= kind == "ClusterInformation"
            try:
                watch.set_resource(key, decode(kind, entry.value), entry.revision)
            except InvalidResource as error:
                log.warning("record ignored", extra={"path": entry.path, "reason": str(error)})
    return is_initialised
