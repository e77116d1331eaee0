"""A thread that dies of a bug takes the process with it, after saying why.

A listener that is gone would leave the agent blind while everything looks well: the watchdog
watches the loop, and the loop only waits. A process that ends is started again by its supervisor,
and the kernel keeps the last good policy meanwhile.
"""

import logging
import os
import threading

log = logging.getLogger(__name__)

BUG_STATUS = 70  # sysexits(3): an internal error


def end_with_any_thread() -> None:
    """From now on, an exception that no thread has caught ends the process."""
    threading.excepthook = _end


def _end(what: threading.ExceptHookArgs) -> None:
    name = what.thread.name if what.thread is not None else "unknown"
    trace = (what.exc_type, what.exc_value, what.exc_traceback)
    log.critical("thread died of a bug, ending the process", extra={"dead": name}, exc_info=trace)  # type: ignore[arg-type]  # typeshed allows no None value, Python does
    logging.shutdown()
    os._exit(BUG_STATUS)
