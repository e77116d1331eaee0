"""calico-felix: the agent alone, without CNI and BIRD.

Source: shared/spec felix 6.1.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from calico import __version__
from calico.datastore.settings import SettingsError
from calico.felix import session
from calico.felix.process import settle
from calico.felix.starting import FatalSettings


def run(config_file: Path) -> int:
    """Live once; return the exit status."""
    settle(ends_with_parent=False)
    try:
        prepared = session.prepare(os.environ, config_file)
        watch = session.wait_for_settings(prepared)
        status = 0 if watch is None else session.run(prepared, watch, session.Parts())
        session.close(prepared)
    except (FatalSettings, SettingsError) as error:
        sys.stderr.write(f"calico-felix: {error}\n")
        return 1
    return status


def config_file(arguments: Sequence[str]) -> Path:
    """Read the arguments: where the settings are."""
    default = Path("/etc/calico/felix.cfg")
    if not arguments:
        return default
    import argparse  # noqa: PLC0415  # 1.3 MB that an agent started as usual would never give back

    parser = argparse.ArgumentParser(
        prog="calico-felix",
        description="Enforce Calico's policy and routes on this node. Settings: FELIX_* in the "
        "environment, over the file, over FelixConfiguration in the datastore.",
    )
    parser.add_argument(
        "-c",
        "--config-file",
        type=Path,
        default=default,
        help="settings, INI (default %(default)s; a missing file is fine)",
    )
    parser.add_argument("--version", action="version", version=f"calico-felix {__version__}")
    found: Path = parser.parse_args(arguments).config_file
    return found


def main() -> None:
    """Run, exit."""
    sys.exit(run(config_file(sys.argv[1:])))


if __name__ == "__main__":
    main()
