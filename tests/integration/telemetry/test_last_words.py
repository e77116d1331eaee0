import sys

import pytest

from calico.kernel.run import ProgramFailed, run

PROGRAM = """
import threading, time
from calico.telemetry.last_words import end_with_any_thread
from calico.telemetry.log import configure_logging
configure_logging("INFO")
end_with_any_thread()
def listen():
    raise AssertionError("impossible state")
threading.Thread(target=listen, name="watcher", daemon=True).start()
time.sleep(30)
"""


def test_a_dead_thread_ends_the_process_and_says_why():
    with pytest.raises(ProgramFailed) as failed:
        run([sys.executable, "-c", PROGRAM], deadline_seconds=20)
    assert failed.value.status == 70
    said = failed.value.out + failed.value.err
    assert "dead=watcher" in said
    assert "impossible state" in said
