"""The agent of a node: start-up, felix, the CNI service, IPAM and BIRD's configuration, wired.

    settings --> datastore --wait--> start_up (Node, defaults) --> IPAM, CNI service, BIRD's owner
                                                               --> felix's loop, until stopped

The CNI socket opens once the node is registered; until then plugins answer "try again later" by
themselves. A child of calico-node: it ends with its supervisor, with 129 when its settings changed.

If we crash at any line the kernel keeps rules and routes, BIRD its sessions and configuration; the
next life reads back and changes only what is wrong.
"""

import logging
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack

from msgspec.structs import replace

from calico.cni.request import Agent as CniAgent
from calico.cni.service import CniService
from calico.core.model.keys import affinities_prefix
from calico.core.model.problem import InvalidResource
from calico.core.render.bird import render_bird
from calico.datastore.client import DatastoreError
from calico.datastore.resources import Resources
from calico.datastore.settings import SettingsError
from calico.felix import session
from calico.felix.process import settle
from calico.felix.starting import FatalSettings
from calico.ipam.assigner import Assigner
from calico.kernel.features import probe
from calico.node.addresses import StartupError
from calico.node.bgp import BgpView, bgp_settings
from calico.node.main import wants_bird
from calico.node.paths import Paths, node_paths
from calico.node.redetect import Redetection, poll_seconds
from calico.node.startup import Registered, node_name, register, start_up
from calico.node.tunnel_addresses import TunnelAddresses, TunnelAddressKeeper
from calico.reconcile.bird import BirdFiles, BirdOwner
from calico.telemetry.health import Report

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0


def run(environment: Mapping[str, str]) -> int:
    """Live once; return the exit status."""
    paths = node_paths(environment)
    name = node_name(environment, paths)
    prepared = session.prepare({**environment, "NODENAME": name}, paths.felix_config)
    with ExitStack() as ending:
        ending.callback(session.close, prepared)
        registered = _started(prepared, environment, name, paths)
        if registered is None:
            return 0
        _follow_addresses(prepared, environment, registered, ending)
        watch = session.wait_for_settings(prepared)
        if watch is None:
            return 0
        assigner = Assigner(prepared.datastore, name)
        assigner.start()
        ending.callback(assigner.stop)
        service = CniService(
            CniAgent(
                node=name,
                store=prepared.datastore,
                assigner=assigner,
                gate=prepared.in_force,
                interface_prefix=watch.merged().config.interface_prefix[0],
                mtu_file=paths.mtu,
            ),
            paths.cni_socket,
        )
        service.start()
        ending.callback(service.stop)
        parts = session.Parts()
        if wants_bird(environment.get("CALICO_NETWORKING_BACKEND", "bird")):
            owner = BirdOwner(BirdFiles(paths.bird_config, paths.bird_socket))
            owner.start()
            ending.callback(owner.stop)
            parts = _bird_parts(BgpView(name, bgp_settings(environment)), owner, name)
        addresses = TunnelAddresses(prepared.datastore, assigner, name, lambda: probe().link_kinds)
        keeper = TunnelAddressKeeper(addresses)
        keeper.start()
        ending.callback(keeper.stop)
        return session.run(prepared, watch, _with_tunnels(parts, keeper, paths))


def _with_tunnels(parts: session.Parts, keeper: TunnelAddressKeeper, paths: Paths) -> session.Parts:
    def end_turn() -> None:
        keeper.end_turn()
        parts.end_turn()

    return replace(
        parts, consumers=(keeper, *parts.consumers), end_turn=end_turn, mtu_file=paths.mtu
    )


def _started(
    prepared: session.Prepared, environment: Mapping[str, str], name: str, paths: Paths
) -> Registered | None:
    """Register the node, waiting for the datastore as long as it takes; None: asked to stop."""
    resources = Resources(prepared.datastore)
    while True:
        try:
            return start_up(resources, environment, name, paths)
        except (DatastoreError, InvalidResource) as error:  # e.g. a record written by hand
            prepared.health.report(session.STARTUP, Report(detail=str(error)))
            log.warning("waiting for the datastore", extra={"reason": str(error)})
            if prepared.stop.wait(RETRY_SECONDS):
                return None


def _follow_addresses(
    prepared: session.Prepared,
    environment: Mapping[str, str],
    registered: Registered,
    ending: ExitStack,
) -> None:
    if environment.get("CALICO_NETWORKING_BACKEND") == "none":
        return
    resources, name = Resources(prepared.datastore), registered.node.metadata.name
    redetection = Redetection(
        lambda: register(resources, environment, name), prepared.health, poll_seconds(environment)
    )
    redetection.start(registered)
    ending.callback(redetection.stop)


def _bird_parts(view: BgpView, owner: BirdOwner, name: str) -> session.Parts:
    def end_turn() -> None:
        inputs = view.flush()
        if inputs is not None:
            rendered = render_bird(inputs)
            if rendered is not None:
                owner.put(rendered.text, rendered.left_out)

    return session.Parts(
        consumers=(view,),
        ranges=(affinities_prefix("host", name),),
        set_affinity=view.set_affinity,
        end_turn=end_turn,
    )


def main() -> None:
    """Run and exit; what cannot be used is said in one line."""
    settle(ends_with_parent=True)
    try:
        status = run(os.environ)
    except (FatalSettings, SettingsError, StartupError) as error:
        sys.stderr.write(f"calico-node: {error}\n")
        status = 1
    sys.exit(status)


if __name__ == "__main__":
    main()
