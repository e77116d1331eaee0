"""One life of an agent, from its settings to its exit status.

    prepare --> Prepared: datastore open, health served, nothing touched
    run ------> waits for a ready datastore, wires the agent, turns until stopped

calico-felix is just this; calico-node's agent adds its own parts through `Parts`.

Source: shared/spec felix 6.1.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from calico.datastore.client import Datastore
from calico.datastore.settings import open_datastore
from calico.datastore.writer import Writer
from calico.felix.config import Source, merge
from calico.felix.in_force import InForce
from calico.felix.loop import Restart
from calico.felix.parameters import FelixConfig
from calico.felix.process import RESTART_STATUS, Stop, serve_health, serve_metrics
from calico.felix.records import Consumer, SetAffinity, no_affinities
from calico.felix.sources import ConfigWatch
from calico.felix.starting import (
    checked,
    local_sources,
    node_name,
    read_settings,
    store_settings,
)
from calico.felix.status import StatusReporter
from calico.felix.wiring import Agent, Surroundings
from calico.telemetry.health import Health, Report
from calico.telemetry.last_words import end_with_any_thread
from calico.telemetry.log import configure_logging
from calico.telemetry.metrics import Metrics
from calico.telemetry.serving import Serving

log = logging.getLogger(__name__)

STARTUP = "FelixStartup"


class Prepared(Struct, frozen=True):
    """What a life starts with."""

    stop: Stop
    local: Sequence[Source]
    config: FelixConfig  # of local sources only
    node_name: str
    datastore: Datastore
    health: Health
    metrics: Metrics
    in_force: InForce
    health_server: Serving | None


class Parts(Struct, frozen=True):
    """What a program adds to the agent: consumers of records, further ranges, an end of turn."""

    consumers: Sequence[Consumer] = ()
    ranges: tuple[str, ...] = ()
    set_affinity: SetAffinity = no_affinities
    end_turn: Callable[[], None] = lambda: None
    mtu_file: Path | None = None


def prepare(environment: Mapping[str, str], config_file: Path) -> Prepared:
    """Read local settings, open the datastore, serve health. Raises FatalSettings."""
    end_with_any_thread()
    stop = Stop()
    local = local_sources(environment, config_file)
    config = checked(merge(local))
    configure_logging(config.log_severity_screen)
    health, metrics = Health(), Metrics()
    health.register(STARTUP)
    health.report(STARTUP, Report(detail="waiting for the datastore"))
    return Prepared(
        stop=stop,
        local=local,
        config=config,
        node_name=node_name(config),
        datastore=open_datastore(store_settings(environment, config)),
        health=health,
        metrics=metrics,
        in_force=InForce(),
        health_server=serve_health(config, health),
    )


def wait_for_settings(prepared: Prepared) -> ConfigWatch | None:
    """Wait for a ready datastore; None when asked to stop meanwhile."""

    def blocked(reason: str) -> None:
        prepared.health.report(STARTUP, Report(detail=reason))
        prepared.in_force.set_blocked(reason)

    return read_settings(
        prepared.datastore, prepared.local, prepared.node_name, prepared.stop.wait, blocked
    )


def run(prepared: Prepared, watch: ConfigWatch, parts: Parts) -> int:
    """Turn until stopped; return the exit status."""
    config = checked(watch.merged())
    configure_logging(config.log_severity_screen)
    servers = [serve_metrics(config, prepared.metrics)]
    if prepared.health_server is None:
        servers.append(serve_health(config, prepared.health))
    writer = Writer(prepared.datastore)
    reporter = StatusReporter(
        prepared.node_name, config.reporting_interval_secs, config.reporting_ttl_secs
    )
    started = time.monotonic()

    def end_turn() -> None:
        watch.check(config)
        parts.end_turn()
        utc = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if due := reporter.due(time.monotonic() - started, utc):
            writer.put(due)

    agent = Agent(
        config,
        prepared.node_name,
        Surroundings(
            datastore=prepared.datastore,
            health=prepared.health,
            metrics=prepared.metrics,
            in_force=prepared.in_force,
            consumers=(watch, *parts.consumers),
            ranges=parts.ranges,
            set_affinity=parts.set_affinity,
            end_turn=end_turn,
            mtu_file=parts.mtu_file,
        ),
    )
    prepared.metrics.set("felix_host", 1, host=prepared.node_name)
    prepared.health.report(STARTUP, Report(ready=True))
    prepared.stop.call(agent.wake)
    writer.start()
    try:
        agent.run(prepared.stop.is_asked)
    except Restart as reason:
        log.info("starting again", extra={"reason": str(reason)})
        return RESTART_STATUS
    finally:
        writer.close()
        for server in servers:
            if server is not None:
                server.close()
    return 0


def close(prepared: Prepared) -> None:
    """Let go of what `prepare` opened."""
    if prepared.health_server is not None:
        prepared.health_server.close()
    prepared.datastore.close()
