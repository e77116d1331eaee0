"""calicoctl ipam show: how pools and blocks are used, and whose an address is.

Source: shared/spec calicoctl 7b.5.
"""

import argparse
from ipaddress import ip_address

from calico.calicoctl.errors import CommandError
from calico.calicoctl.output import render_box
from calico.calicoctl.store import open_store
from calico.core.ipam import block as blocks
from calico.core.ipam import garbage
from calico.core.model.block import Attribute, Block
from calico.datastore.client import Datastore, DatastoreError
from calico.ipam.errors import IpamError, NotAllocated
from calico.ipam.usage import holder_of, read_blocks, read_settings, utilization

HEADINGS = ("Grouping", "CIDR", "IPs Total", "IPs In Use", "IPs Reserved", "IPs Free")


def run(arguments: argparse.Namespace) -> None:
    """Print what was asked for. Raises CommandError."""
    if arguments.ip:
        _check_address(arguments.ip)
    store = open_store(arguments)
    try:
        print(_shown(store, arguments), end="")
    except DatastoreError as error:
        raise CommandError(str(error)) from error
    finally:
        store.close()


def _check_address(text: str) -> None:
    try:
        ip_address(text)
    except ValueError as error:
        raise CommandError(
            f"Error executing command: invalid IP address specified: {text}"
        ) from error


def _shown(store: Datastore, arguments: argparse.Namespace) -> str:
    if arguments.ip:
        return show_address(store, arguments.ip)
    if arguments.show_blocks:
        return show_pools(store, with_blocks=True)
    if arguments.show_borrowed:
        return show_borrowed(store)
    if arguments.show_configuration:
        return show_configuration(store)
    return show_pools(store, with_blocks=False)


def show_pools(store: Datastore, *, with_blocks: bool) -> str:
    """Draw the table of pools, and of their blocks."""
    rows: list[tuple[str, ...]] = []
    for pool in utilization(store):
        if pool.name != garbage.ORPHANS:  # they have no row of a pool
            rows.append(_row("IP Pool", pool))
        if with_blocks:
            rows += [_row("Block", use) for use in pool.blocks]
    return render_box(HEADINGS, rows, right=2)


def _row(grouping: str, use: garbage.PoolUse | garbage.BlockUse) -> tuple[str, ...]:
    def share(count: int) -> str:
        percent = round(100 * count / use.capacity) if use.capacity else 0
        return f"{count:.5g} ({percent}%)"

    total = f"{use.capacity:.5g}"
    return (grouping, use.cidr, total, share(use.in_use), share(use.reserved), share(use.available))


def show_address(store: Datastore, address: str) -> str:
    """Say whose an address is."""
    try:
        holder = holder_of(store, address)
    except NotAllocated as error:
        if "cools down" in str(error):
            raise CommandError(f"address {address} is in cooldown") from error
        return f"{address} is not assigned\n"
    except IpamError as error:
        raise CommandError(str(error)) from error
    lines = [f"IP {address} is in use", f"Handle ID: {holder.handle_id or '<none>'}"]
    lines += _owner("Active Owner", dict(holder.secondary or {}))
    if holder.alternate_owner:
        lines += _owner("Alternate Owner", dict(holder.alternate_owner))
    return "\n".join(lines) + "\n"


def _owner(which: str, attributes: dict[str, str]) -> list[str]:
    if not attributes:
        return [f"No {which} attributes defined"]
    lines = [f"  {key}: {attributes[key]}" for key in sorted(attributes)]
    return [f"{which} Attributes:", *lines]


def show_borrowed(store: Datastore) -> str:
    """List addresses that a node uses out of another node's block."""
    rows: list[tuple[str, ...]] = []
    unknown = 0
    for block in read_blocks(store):
        for ordinal in range(len(block.allocations)):
            holder = blocks.holder_of(block, ordinal)
            if holder is None:
                continue
            node = (holder.secondary or {}).get("node")
            if node is None:
                unknown += 1
            elif node != _host(block):
                rows.append(_borrowed(block, ordinal, node, holder))
    headings = ("IP", "Borrowing-Node", "Block", "Block Owner", "Type", "Allocated-To")
    text = render_box(headings, rows)
    if unknown:
        text += (
            f"\nNote: found {unknown} IP allocations without an explicit node association. "
            "Unable to determine if they are borrowed.\n"
        )
    return text


def _host(block: Block) -> str:
    kind, _, host = (block.affinity or "").partition(":")
    return host if kind == "host" else ""


def _borrowed(block: Block, ordinal: int, node: str, holder: Attribute) -> tuple[str, ...]:
    secondary = holder.secondary or {}
    kind = "vmi" if "vmi-name" in secondary else "pod" if "pod" in secondary else ""
    name = secondary.get("vmi-name") or secondary.get("pod", "")
    allocated = f"{secondary.get('namespace', '')}/{name}" if name else ""
    return (
        blocks.address_of(block, ordinal),
        node,
        block.cidr,
        _host(block) or "<none>",
        kind or secondary.get("type", ""),
        allocated,
    )


def show_configuration(store: Datastore) -> str:
    """Draw the cluster-wide settings."""
    config = read_settings(store)
    rows = [
        ("StrictAffinity", str(config.strict_affinity).lower()),
        ("AutoAllocateBlocks", str(config.auto_allocate_blocks).lower()),
        ("MaxBlocksPerHost", str(config.max_blocks_per_host)),
        ("KubeVirtVMAddressPersistence", config.vm_address_persistence or "Enabled"),
        ("IPCooldownSeconds", str(config.cooldown_seconds)),
    ]
    return render_box(("Property", "Value"), rows)
