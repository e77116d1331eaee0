"""How properties run: at the desk, and with PROPERTIES=thorough."""

import os

from hypothesis import settings

# The machine may be busy, so no deadlines; the same examples each time, so no surprises.
settings.register_profile("desk", deadline=None, derandomize=True)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("PROPERTIES", "desk"))
