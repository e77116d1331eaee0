"""What surrounds a running agent in its process: signals, servers, the interpreter's manners.

    Stop ----- SIGTERM, SIGINT: end the present turn, then end
    serve ---- /liveness, /readiness on FELIX_HEALTHHOST:PORT; /metrics if enabled
    settle --- switch interval, death with the supervisor

Source: ARCHITECTURE.md, threads; shared/spec felix 6.3.
"""

import ctypes
import gc
import logging
import os
import select
import signal
import sys
from collections.abc import Callable

from calico.felix.parameters import FelixConfig
from calico.telemetry.health import Health
from calico.telemetry.metrics import Metrics
from calico.telemetry.serving import Serving

log = logging.getLogger(__name__)

SWITCH_INTERVAL_SECONDS = 0.0005  # a CNI request beside a busy loop: 13 ms instead of 90
RESTART_STATUS = 129  # what Felix ends with when its settings changed
_PR_SET_PDEATHSIG = 1
_M_ARENA_MAX = -8
_LIBC = ctypes.CDLL(None)


class Stop:
    """Whether the process was asked to end, and waits that this ends."""

    def __init__(self) -> None:
        self._readable, writable = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._is_asked = False
        self._wake: Callable[[], None] = lambda: None
        signal.set_wakeup_fd(writable)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def is_asked(self) -> bool:
        """Whether to end."""
        return self._is_asked

    def wait(self, seconds: float) -> bool:
        """Wait, unless asked to end; return whether that is so."""
        if not self._is_asked:
            select.select([self._readable], [], [], seconds)
        return self._is_asked

    def call(self, wake: Callable[[], None]) -> None:
        """Have `wake` called when asked to end, from the main thread."""
        self._wake = wake

    def _ask(self, *_: object) -> None:
        self._is_asked = True
        self._wake()


def settle(*, ends_with_parent: bool) -> None:
    """Set the interpreter's manners; with a supervisor, end when it does."""
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    if hasattr(_LIBC, "mallopt"):  # glibc would keep free memory apart for each of our threads
        _LIBC.mallopt(_M_ARENA_MAX, 1)
    if ends_with_parent:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def tidy() -> None:
    """Collect garbage and give free memory back."""
    gc.collect()
    if hasattr(_LIBC, "malloc_trim"):  # glibc keeps what threads have freed: 10 MB after a listing
        _LIBC.malloc_trim(0)


def serve_health(config: FelixConfig, health: Health) -> Serving | None:
    """Serve health if it is enabled; the caller closes it."""
    if not config.health_enabled:
        return None
    serving = Serving(config.health_host, config.health_port, health.pages())
    serving.start()
    return serving


def serve_metrics(config: FelixConfig, metrics: Metrics) -> Serving | None:
    """Serve metrics if they are enabled; the caller closes it."""
    if not config.prometheus_metrics_enabled:
        return None
    serving = Serving(
        config.prometheus_metrics_host, config.prometheus_metrics_port, metrics.pages()
    )
    serving.start()
    return serving
