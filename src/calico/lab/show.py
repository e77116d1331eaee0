"""A lab on a terminal: its status, its matrix, and what to try next.

    Status, Matrix --> tables (rich) or JSON

The matrix has a row for each source and a column for each destination. A cell names what gets
through; "all" and "-" are short for everything and nothing. The two IP versions share a cell
unless they differ.
"""

import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from calico.core.analysis.explain import reason
from calico.core.analysis.matrix import Question
from calico.core.analysis.what_if import Difference
from calico.lab.cluster import Matrix
from calico.lab.status import Status

NOTHING, EVERYTHING = "-", "all"
MOST_LINES = 20


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=number == 0)
    return table


def show_status(console: Console, status: Status) -> None:
    """Print everything about a lab but its matrix."""
    nodes = _table("Nodes", "node", "address", "how it was found")
    for node in status.nodes:
        problem = f"[red]{node.problem}[/red]" if node.problem else ""
        addresses = node.addresses or (None,)
        for index, address in enumerate(addresses):
            name = node.name if index == 0 else ""
            detected = address.detected if address else ""
            notes = "; ".join(filter(None, (detected, problem if index == 0 else "")))
            nodes.add_row(name, address.address if address else "", notes)
    console.print(nodes)
    sessions = _table("BGP sessions", "node", "session", "state", "since", "details")
    for one in status.sessions:
        colour = "green" if one.details == "Established" else "yellow"
        sessions.add_row(
            one.node, one.protocol, one.state, one.since, f"[{colour}]{one.details}[/{colour}]"
        )
    console.print(sessions if status.sessions else "BGP sessions: none")
    pools = _table("Pools and blocks", "pool or block", "node", "encapsulation", "in use")
    for pool in status.pools:
        pools.add_row(f"{pool.cidr} ({pool.name})", "", pool.encapsulation, "")
    for block in status.blocks:
        pools.add_row(f"  {block.cidr}", block.node, "", f"{block.allocated} of {block.size}")
    console.print(pools)
    pods = _table("Pods", "pod", "node", "addresses", "interface")
    for pod in status.pods:
        state = "" if pod.answering else " [red](its responder does not run)[/red]"
        pods.add_row(pod.name + state, pod.node, ", ".join(pod.addresses), pod.interface)
    console.print(pods if status.pods else "Pods: none")


def show_matrix(console: Console, matrix: Matrix) -> None:
    """Print who reaches whom, measured; then every cell that is not as computed, and why."""
    sources = list(dict.fromkeys(question.source for question in matrix.measured))
    destinations = list(dict.fromkeys(question.destination for question in matrix.measured))
    numbers = [str(index + 1) for index in range(len(destinations))]
    table = _table("Who reaches whom (measured with packets)", "from \\ to", *numbers)
    cells = _cells(matrix.measured)
    wrong = {(one.question.source, one.question.destination) for one in matrix.differences}
    for source in sources:
        number = f"{destinations.index(source) + 1} " if source in destinations else ""
        row = [
            _coloured(cells.get((source, destination), ""), (source, destination) in wrong)
            for destination in destinations
        ]
        table.add_row(f"{number}{source}", *row)
    console.print(table)
    total = len(matrix.measured)
    if not matrix.differences:
        console.print(f"[green]measured = computed[/green] in all {total} cells")
        return
    console.print(f"[red]measured is not computed in {len(matrix.differences)} of {total} cells:")
    lines = difference_lines(matrix)
    for line in lines[:MOST_LINES]:
        console.print(f"  {line}", highlight=False, soft_wrap=True)
    if len(lines) > MOST_LINES:
        console.print(f"  and {len(lines) - MOST_LINES} more: -o json lists every cell")


def difference_lines(matrix: Matrix) -> list[str]:
    """Say what differs between whom, and why it was computed so; equal cases in one line."""
    grouped: dict[tuple[str, str, str], dict[str, None]] = {}
    for one in matrix.differences:
        question = one.question
        told = difference_text(matrix, one)
        ports = grouped.setdefault((question.source, question.destination, told), {})
        ports[f"{port_text(question)} IPv{question.version}"] = None
    return [
        f"{source} -> {destination} {', '.join(ports)}: {told}"
        for (source, destination, told), ports in grouped.items()
    ]


def difference_text(matrix: Matrix, one: Difference) -> str:
    """Say what one cell measured and should be, and why."""
    measured, computed = ("got through" if ok else "did not" for ok in (one.before, one.after))
    return f"{measured}, computed: {computed} ({reason(matrix.expected.verdict(one.question))})"


def question_text(question: Question) -> str:
    """Write a question as people do."""
    return (
        f"{question.source} -> {question.destination} {port_text(question)} IPv{question.version}"
    )


def port_text(question: Question) -> str:
    """Write "icmp" or "tcp/80"."""
    return f"{question.protocol}/{question.port}" if question.port else question.protocol


def _coloured(text: str, wrong: bool) -> str:
    colour = {NOTHING: "dim", EVERYTHING: "green"}.get(text, "yellow")
    return f"[{colour}]{text}[/{colour}]" + (" [bold red]![/bold red]" if wrong else "")


def _cells(measured: Mapping[Question, bool]) -> dict[tuple[str, str], str]:
    grouped: dict[tuple[str, str], dict[int, list[tuple[str, bool]]]] = {}
    for question, ok in measured.items():
        cell = grouped.setdefault((question.source, question.destination), {})
        cell.setdefault(question.version, []).append((port_text(question), ok))
    return {pair: _cell(by_version) for pair, by_version in grouped.items()}


def _cell(by_version: Mapping[int, Sequence[tuple[str, bool]]]) -> str:
    texts = {version: _summary(answers) for version, answers in by_version.items()}
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return " ".join(f"v{version}:{text}" for version, text in sorted(texts.items()))


def _summary(answers: Iterable[tuple[str, bool]]) -> str:
    allowed = dict(answers)
    if all(allowed.values()):
        return EVERYTHING
    return " ".join(name for name, ok in allowed.items() if ok) or NOTHING


def status_json(status: Status) -> str:
    """Write a status as JSON."""
    return _json(status)


def matrix_json(matrix: Matrix) -> str:
    """Write a matrix as JSON: measured, computed, differences."""
    return _json(
        {
            "measured": [_cell_json(q, ok) for q, ok in matrix.measured.items()],
            "computed": [_cell_json(q, ok) for q, ok in matrix.computed.items()],
            "differences": [
                {
                    **one.question._asdict(),
                    "measured": one.before,
                    "computed": one.after,
                    "reason": reason(matrix.expected.verdict(one.question)),
                }
                for one in matrix.differences
            ],
        }
    )


def _cell_json(question: Question, ok: bool) -> dict[str, object]:
    return {**question._asdict(), "allowed": ok}


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def show_next_steps(console: Console, pod: str, node: str) -> None:
    """Name what to try; the first line puts the other five on the PATH."""
    program = shlex.quote(sys.argv[0])
    console.print("\n[bold]The lab is running. Try:[/bold]")
    for command, what in (
        (f'eval "$({program} env)"', "so that this shell finds calicoctl and calico-lab"),
        ("calicoctl get nodes -o wide", "any calicoctl command, from here"),
        (f"calico-lab exec {pod} -- ip route", "look from inside a pod"),
        (f"calico-lab exec {node} -- calicoctl node status", "ask a node for its BGP sessions"),
        ("calico-lab matrix", "measure again, after you changed a policy"),
        ("calico-lab down", "remove every trace of it"),
    ):
        console.print(f"  {command:<50}[dim]{what}[/dim]", highlight=False, soft_wrap=True)
