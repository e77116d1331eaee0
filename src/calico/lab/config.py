"""The installer's config.yaml, as far as a lab must understand it itself.

    config.yaml --calicoctl's own reader--> InstallConfig --> Config, and a place for etcd

`calicoctl install --config` gets the same file. The lab only needs to know where etcd shall be,
since it starts that itself, and that pods and segments do not share addresses.
"""

from ipaddress import ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from calico.calicoctl.files import FileError, read_lines
from calico.calicoctl.install_config import ConfigError, InstallConfig, parse_config
from calico.lab.shape import Interface, Station, Topology
from calico.lab.topology import LabError

ETCD_STATION = "etcd"
ETCD_PORT = 2379


class Config(Struct, frozen=True):
    """What the installer was told, and where that is written."""

    path: str
    settings: InstallConfig
    etcd_address: str
    etcd_port: int

    @property
    def etcd_endpoint(self) -> str:
        """How stations reach etcd."""
        host = f"[{self.etcd_address}]" if ":" in self.etcd_address else self.etcd_address
        return f"http://{host}:{self.etcd_port}"


def read_config(path: Path) -> Config:
    """Read config.yaml. Raises LabError."""
    try:
        lines = read_lines(str(path))
        settings = parse_config(lines, str(path))
    except (FileError, ConfigError) as error:
        raise LabError(str(error)) from error
    place = f"{path}, line {lines['etcd_endpoints'].number}" if settings.etcd_endpoints else path
    parts = urlsplit(settings.etcd_endpoints)
    try:
        address = str(ip_address(parts.hostname or ""))
        port = parts.port or ETCD_PORT
    except ValueError as error:
        raise LabError(
            f"{place}: etcd_endpoints is {settings.etcd_endpoints!r}, and the lab starts its etcd "
            "there: write http://ADDRESS:2379 with one address on a segment of the topology"
        ) from error
    if parts.scheme != "http":
        raise LabError(
            f"{place}: etcd_endpoints is {settings.etcd_endpoints!r}: a lab's etcd has no TLS "
            "(its network exists in the lab alone): write http:"
        )
    return Config(str(path), settings, address, port)


def etcd_station(config: Config, topology: Topology) -> Station:
    """Find etcd's place in the topology. Raises LabError if there is none."""
    address = ip_address(config.etcd_address)
    for station in topology.stations:
        if config.etcd_address in station.addresses:
            raise LabError(
                f"{config.path}: etcd_endpoints: {address} is the address of {station.name} in the "
                "topology: write one that nobody has"
            )
    for segment in topology.segments:
        for subnet in map(ip_network, segment.subnets):
            if address in subnet:
                at = f"{address}/{subnet.prefixlen}"
                return Station(ETCD_STATION, "host", (Interface("eth0", segment.name, (at,)),))
    subnets = ", ".join(subnet for segment in topology.segments for subnet in segment.subnets)
    raise LabError(
        f"{config.path}: etcd_endpoints: {address} is on no segment: write one in {subnets}"
    )


def refuse_overlap(config: Config, topology: Topology) -> None:
    """Refuse pods' networks that are also somebody's segment. Raises LabError."""
    for segment in topology.segments:
        for subnet in map(ip_network, segment.subnets):
            for cidr in map(ip_network, config.settings.network_cidr):
                if cidr.version == subnet.version and cidr.overlaps(subnet):
                    raise LabError(
                        f"{config.path}: network_cidr: {cidr} overlaps {subnet} of segment "
                        f"{segment.name}: write another"
                    )
