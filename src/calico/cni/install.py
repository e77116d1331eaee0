"""Put the CNI executables into a folder: `calico` and `calico-ipam`, one file under two names.

    plugin.py + "#!<python> -ISE" --> <folder>/calico, <folder>/calico-ipam

The interpreter is named by its full path, started without its site packages (-S), without the
user's settings (-E) and without a search path (-I): only what it brings itself, as fast as it can.
A file is written aside and renamed, so that a runtime never runs half of one.
"""

import os
import re
import sys
from pathlib import Path

from calico.cni import plugin

NAMES = ("calico", "calico-ipam")
NEW_ENOUGH = re.compile(r"python3\.(9|[1-9][0-9])")  # what the plugin needs at least


def install(folder: Path, python: str = "") -> tuple[Path, ...]:
    """Write the executables; give their paths. Raises OSError."""
    text = executable(python or base_python())
    folder.mkdir(parents=True, exist_ok=True)
    return tuple(_write(folder / name, text) for name in NAMES)


def executable(python: str) -> str:
    """Render the executable for an interpreter."""
    return f"#!{python} -ISE\n{Path(plugin.__file__).read_text()}"


def base_python() -> str:
    """Name the interpreter to start: the system's, or else the one we run on.

    The system's is linked into one file, which starts 1 ms faster; that of a virtual environment
    would first look for its home.
    """
    system = Path("/usr/bin/python3").resolve()
    if NEW_ENOUGH.fullmatch(system.name) and system.exists():
        return str(system)
    own = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    return str(own) if own.exists() else os.path.realpath(sys.executable)


def _write(path: Path, text: str) -> Path:
    aside = path.with_suffix(".new")
    aside.write_text(text)
    aside.chmod(0o755)
    aside.replace(path)
    return path
