"""The wires: segments as bridges in a namespace of their own, and a cable to each station.

    station's namespace            fabric's namespace
      eth0  ======== veth ========  node-1.0 --+
      eth0  ======== veth ========  node-2.0 --+-- bridge "rack"

No interface ever appears in the machine's own namespace: the pair is made inside the fabric, its
far end straight inside the station. All of it is gone when the last process in there is.

A station keeps its hardware addresses over a restart, as a machine does, so its neighbours need
not forget it first.
"""

from collections.abc import Iterator
from hashlib import sha256
from ipaddress import ip_interface, ip_network

from calico.kernel.run import run
from calico.lab.place import Place
from calico.lab.processes import Remembered, find, recall
from calico.lab.shape import Interface, Segment, Station
from calico.lab.topology import LabError

FABRIC = "fabric"  # the station that holds the bridges


def keeper(place: Place, station: str) -> int:
    """Find a process in a station's namespaces. Raises LabError if the station is down."""
    holder = recall(place, f"holder-{station}")
    if holder is not None:
        return holder.pid
    found = next((one for one in find(place, station) if _is_outside_pods(one)), None)
    if found is None:
        raise LabError(f"{station} is down: start it with `calico-lab start-node {station}`")
    return found.pid


def is_up(place: Place, station: str) -> bool:
    """Tell whether anything of a station is left to enter."""
    try:
        keeper(place, station)
    except LabError:
        return False
    return True


def _is_outside_pods(found: Remembered) -> bool:
    pods = run(("nsenter", "-t", str(found.pid), "-m", "ip", "netns", "identify", str(found.pid)))
    return not pods.strip()


def entering(place: Place, station: str) -> tuple[str, ...]:
    """Give the words that run a program inside a station."""
    return ("nsenter", "-t", str(keeper(place, station)), "-n", "-m", "-u", "--")


def _ip(place: Place, station: str, lines: list[str]) -> None:
    run((*entering(place, station), "ip", "-batch", "-"), stdin="\n".join(lines) + "\n")


def make_segments(place: Place, segments: tuple[Segment, ...]) -> None:
    """Make the bridges."""
    lines = ["link set lo up"]
    for segment in segments:
        # Snooping would drop neighbour discovery here: there is nobody who asks for groups.
        options = "type bridge stp_state 0 mcast_snooping 0"
        lines.append(f"link add {segment.name} mtu {segment.mtu_bytes} {options}")
        lines.append(f"link set {segment.name} up")
    _ip(place, FABRIC, lines)


def plug(place: Place, station: Station, segments: tuple[Segment, ...]) -> None:
    """Give a station its cables, addresses and routes."""
    inside = keeper(place, station.name)
    mtu = {segment.name: segment.mtu_bytes for segment in segments}
    cables: list[str] = []
    for index, interface in enumerate(station.interfaces):
        port = port_name(station.name, index)
        far = f"peer name {interface.name} address {mac(place, port)} netns {inside}"
        cables.append(f"link add {port} mtu {mtu[interface.segment]} type veth {far}")
        cables.append(f"link set {port} master {interface.segment} up")
    _ip(place, FABRIC, cables)
    settings = [line for interface in station.interfaces for line in _settings(interface, mtu)]
    routes = [f"route add {route.destination} via {route.gateway}" for route in station.routes]
    routes += _last_resort(station)
    _ip(place, station.name, ["link set lo up", *settings, *routes])
    if station.kind != "host":
        forwarding = ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        run((*entering(place, station.name), "sysctl", "-q", "-w", *forwarding))


def _last_resort(station: Station) -> Iterator[str]:
    """Give a node without a router a default route of sorts, as every machine has one.

    Pods ask for 169.254.1.1, and proxy ARP answers only if the node has a way there.
    """
    has = {ip_interface(address).version for one in station.interfaces for address in one.addresses}
    led = {ip_network(one.destination) for one in station.routes}
    for everything in ("0.0.0.0/0", "::/0"):
        network = ip_network(everything)
        if station.kind == "node" and network.version in has and network not in led:
            yield f"route add {everything} dev {station.interfaces[0].name}"


def _settings(interface: Interface, mtu: dict[str, int]) -> list[str]:
    name = interface.name
    lines = [f"link set {name} mtu {mtu[interface.segment]} up"]
    for address in interface.addresses:
        at_once = " nodad" if ip_interface(address).version == 6 else ""
        lines.append(f"address add {address} dev {name}{at_once}")
    return lines


def port_name(station: str, index: int) -> str:
    """Name a station's end of a cable in the fabric; at most 15 letters."""
    plain = f"{station}.{index}"
    if len(plain) <= 15:
        return plain
    return f"{station[:6]}{sha256(station.encode()).hexdigest()[:6]}.{index}"[:15]


def mac(place: Place, port: str) -> str:
    """Work out an interface's hardware address; the same whenever the station is started."""
    digest = sha256(f"{place.directory} {port}".encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))


def next_address(segment: Segment, taken: frozenset[str], first: int = 11) -> tuple[str, ...]:
    """Pick a free address in each of a segment's subnets, with its prefix length.

    Both end alike, .14 and ::14, as people number machines. Raises LabError if all are taken.
    """
    subnets = [ip_network(subnet) for subnet in segment.subnets]
    largest = min(subnet.num_addresses for subnet in subnets) - 1
    for number in range(first, min(largest, 10_000)):
        offsets = (number if subnet.version == 4 else int(str(number), 16) for subnet in subnets)
        picked = [(subnet, subnet[offset]) for subnet, offset in zip(subnets, offsets, strict=True)]
        if not taken & {str(address) for _, address in picked}:
            return tuple(f"{address}/{subnet.prefixlen}" for subnet, address in picked)
    raise LabError(f"segment {segment.name} has no free address left: give it larger subnets")
