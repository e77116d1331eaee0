"""Starting an agent, and what it occupies: with nothing to do, in W, with 30,000 pods.

    cold   the kernel as if no agent had ever run
    warm   the kernel as the last agent left it: read back, compared, left alone

CPU counts from the start of the interpreter to readiness. Memory is what is resident once the
agent has come to rest.
"""

from collections.abc import Iterator

from tests.bench import world
from tests.bench.table import Row

PODS = 30_000


def idle_rows(node) -> Iterator[Row]:
    """Start with nothing in the datastore."""
    with node.agent() as agent:
        agent.wait_until_idle()
        yield Row("memory of the agent, nothing to do", "MB", (agent.memory_mb(),), (60,), "-")
    node.forget_rules()


def rows(node) -> Iterator[Row]:
    """Start in W, cold and warm; then with more pods. W must be in the datastore."""
    node.forget_rules()
    for state in ("cold", "warm"):
        with node.agent() as agent:
            cpu = agent.cpu_seconds
            agent.wait_until_idle()
            yield start_row(f"agent start in W, {state}: wall / CPU", agent, cpu, state)
            if state == "cold":
                yield memory_row("memory of the agent, W", agent, 80, "132, peak 153-190 MB")
    world.load(node.store, world.remotes(world.REMOTES, PODS))
    node.forget_rules()
    with node.agent() as agent:
        agent.wait_until_idle()
        yield memory_row(f"memory of the agent, {PODS:,} pods", agent, 150, "240-270 MB")


def start_row(what, agent, cpu, state) -> Row:
    """Say how long a start took."""
    turns = agent.turns()
    thought = sum(turn[1] for turn in turns) / 1000
    applied = sum(turn[0] for turn in turns) / 1000 - thought
    rest = agent.start_seconds - thought - applied
    return Row(
        what,
        "s",
        (agent.start_seconds, cpu),
        (2.5, 2.4),
        {"cold": "4.7 / 6.3 s", "warm": "6.4 / 8.7 s"}[state],
        f"the interpreter, settings and the listing {rest:.2f} s, thinking {thought:.2f}, "
        f"rendering and the kernel {applied:.2f}; the machine gave {cpu / agent.start_seconds:.0%} "
        "of a CPU",
    )


def memory_row(what, agent, target, original) -> Row:
    """Say what the agent occupies, and at most occupied."""
    peak = agent.memory_mb("VmHWM")
    return Row(
        what,
        "MB",
        (agent.memory_mb(),),
        (target,),
        original,
        f"peak {peak:.0f} MB; imports 44 MB, the rest is records, rules and members as values",
    )
