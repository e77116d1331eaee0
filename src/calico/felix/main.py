"""calico-felix: the agent alone, without CNI and BIRD.

Source: shared/spec felix 6.1.
"""

import argparse
import os
import sys
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


def main() -> None:
    """Read the arguments, run, exit."""
    parser = argparse.ArgumentParser(
        prog="calico-felix",
        description="Enforce Calico's policy and routes on this node. Settings: FELIX_* in the "
        "environment, over the file, over FelixConfiguration in the datastore.",
    )
    parser.add_argument(
        "-c",
        "--config-file",
        type=Path,
        default=Path("/etc/calico/felix.cfg"),
        help="settings, INI (default %(default)s; a missing file is fine)",
    )
    parser.add_argument("--version", action="version", version=f"calico-felix {__version__}")
    sys.exit(run(parser.parse_args().config_file))


if __name__ == "__main__":
    main()
