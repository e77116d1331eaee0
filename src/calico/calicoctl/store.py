"""Open the datastore for a command, as the file or the environment says.

Source: shared/spec calicoctl 7b.2.
"""

import argparse
import os
from pathlib import Path

from calico.calicoctl.errors import CommandError
from calico.core.model.cluster import ClusterInformation, ClusterInformationSpec
from calico.core.model.keys import ResourceKey
from calico.datastore.client import Datastore, DatastoreError
from calico.datastore.resource_errors import DoesNotExist
from calico.datastore.resources import Resources
from calico.datastore.settings import SettingsError, datastore_settings, open_datastore
from calico.ipam.affinities import release_pool

DEADLINE_SECONDS = 5.0  # a person waits
DEFAULT_CONFIG = "/etc/calico/calicoctl.cfg"


def open_store(arguments: argparse.Namespace) -> Datastore:
    """Open it. Raises CommandError that says what to set."""
    text = _config_text(arguments.config)
    try:
        settings = datastore_settings(os.environ, text, file_name=arguments.config)
        if settings.datastore_type == "kubernetes":
            raise CommandError(
                "no datastore is configured: set ETCD_ENDPOINTS (or write "
                f"{DEFAULT_CONFIG}); the kubernetes datastore is not built yet"
            )
        return open_datastore(settings, DEADLINE_SECONDS)
    except SettingsError as error:
        raise CommandError(f"Failed to create Calico API client: {error}") from error


def _config_text(path: str) -> str | None:
    try:
        return Path(path).read_text()
    except FileNotFoundError as error:
        if path == DEFAULT_CONFIG:
            return None
        raise CommandError(f"Error reading config file: {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"Error reading config file: {path}: {error}") from error


def open_resources(arguments: argparse.Namespace) -> Resources:
    """Open the datastore as typed resources; deleting a pool gives its blocks back."""
    store = open_store(arguments)

    def release(cidr: str) -> None:
        release_pool(store, cidr)

    return Resources(store, release_affinities=release)


def cluster_information(arguments: argparse.Namespace) -> ClusterInformationSpec:
    """Read ClusterInformation `default`; all empty if there is none. Raises CommandError."""
    resources = open_resources(arguments)
    try:
        found = resources.get(ResourceKey("ClusterInformation", "", "default"))
    except DoesNotExist:
        return ClusterInformationSpec()
    except DatastoreError as error:
        raise CommandError(f"unable to retrieve Cluster Version or Type: {error}") from error
    finally:
        resources.datastore.close()
    assert isinstance(found, ClusterInformation)  # noqa: S101  # that is what its kind decodes to
    return found.spec
