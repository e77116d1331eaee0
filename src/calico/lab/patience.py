"""How long the lab waits on a machine that is slower than ours.

    CALICO_LAB_PATIENCE (default 1): every wait of the lab for one of its own programs, times this.

A wait ends as soon as what it waits for is there, so patience costs nothing where all goes well.
An emulated machine (lab/vm.py) needs it: a program that starts in 50 ms may take seconds there.
"""

import os


def patient(seconds: float) -> float:
    """Stretch a wait."""
    return seconds * float(os.environ.get("CALICO_LAB_PATIENCE") or 1)
