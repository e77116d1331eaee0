"""calicoctl version: this client's, and the cluster's.

Source: shared/spec calicoctl 7b.4.
"""

import argparse

from calico import __version__


def run(arguments: argparse.Namespace) -> None:
    """Print the lines that calicoctl prints."""
    print(f"Client Version:    v{__version__}")
    if arguments.client:
        return
    from calico.calicoctl.store import cluster_information  # noqa: PLC0415  # loads gRPC

    spec = cluster_information(arguments)
    print(f"Cluster Version:   {spec.calico_version or 'unknown'}")
    print(f"Cluster Type:      {spec.cluster_type or 'unknown'}")
