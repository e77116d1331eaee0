"""Stories of one table: intent comes and goes, others meddle, things are refused.

    story --tell--> NftablesReconciler + a table --> at rest, the table equals the intent

The alphabets are tiny, so that chains jump to each other, sets change shape under their users,
and prefixes get in each other's way. Chains may jump only to later ones: the kernel wants no loops.
"""

from hypothesis import strategies as st

from calico.core.nftables.changes import (
    AddChain,
    AddElements,
    AddSet,
    Contents,
    DeleteChain,
    DeleteElements,
    DeleteSet,
    SetRules,
    Subject,
)
from calico.core.nftables.vocabulary import (
    Chain,
    Counter,
    Dispatch,
    Hook,
    InSet,
    Is,
    Rule,
    Set,
    TableDelta,
    Verdict,
)
from calico.reconcile.nftables import NftablesReconciler

CHAINS = ("a", "b", "c", "d")
SHAPES = {
    "s": (Set(("saddr",)), Set(("saddr",), intervals=True)),
    "t": (Set(("saddr",), intervals=True),),
    "m": (Set(("iifname",), verdicts=True),),
}
HOOKS = (None, Hook("filter", "forward", 0), Hook("filter", "input", 1, "drop"))
MEMBERS = {
    False: [frozenset(), frozenset({"10.0.0.1"}), frozenset({"10.0.0.1", "10.0.0.2"})],
    True: [
        frozenset(),
        frozenset({"10.0.0.0/8"}),
        frozenset({"10.0.0.0/9", "10.128.0.0/9"}),
        frozenset({"10.0.0.1", "10.0.0.4/30"}),
    ],
}


def rules(position):
    later = CHAINS[position + 1 :]
    plain = st.sampled_from([Is("dport", n) for n in (1, 2, 3)]).map(
        lambda test: Rule((test, Counter(), Verdict("accept")))
    )
    choices = [
        plain,
        st.sampled_from("st").map(lambda s: Rule((InSet(("saddr",), s), Verdict("drop")))),
    ]
    if later:  # the map leads to the last chain
        choices.append(st.just(Rule((Dispatch(("iifname",), "m"),))))
        choices.append(st.sampled_from(later).map(lambda c: Rule((Verdict("jump", c),))))
    return st.lists(st.one_of(choices), max_size=4).map(tuple)


@st.composite
def contents(draw):
    """Draw an intent; rules may refer to what is not there."""
    chains = {}
    for position, name in enumerate(CHAINS):
        if draw(st.booleans()):
            hook = draw(st.sampled_from(HOOKS)) if name == "a" else None
            chains[name] = Chain(draw(rules(position)), hook)
    sets, elements = {}, {}
    for name, shapes in SHAPES.items():
        shape = draw(st.sampled_from([None, *shapes]))
        if shape is None:
            continue
        sets[name], elements[name] = shape, {}
        if shape.verdicts:
            for interface in draw(st.frozensets(st.sampled_from(["cali1", "cali2"]))):
                target = draw(st.sampled_from([Verdict("drop"), Verdict("goto", "d")]))
                elements[name][(interface,)] = target
        else:
            members = draw(st.sampled_from(MEMBERS[shape.intervals]))
            elements[name] = {(member,): True for member in members}
    return Contents(chains, sets, elements)


def delta(old, new):
    """Say what changed, as the contract of TableDelta wants it."""
    chains = {
        n: new.chains.get(n)
        for n in old.chains.keys() | new.chains.keys()
        if old.chains.get(n) != new.chains.get(n)
    }
    sets = {
        n: new.sets.get(n)
        for n in old.sets.keys() | new.sets.keys()
        if old.sets.get(n) != new.sets.get(n)
    }
    elements = {}
    for name in new.sets:
        before = {} if name in sets else old.elements[name]
        after = new.elements[name]
        for element in before.keys() | after.keys():
            if before.get(element) != after.get(element):
                elements[name, element] = after.get(element)
    return TableDelta(chains, sets, elements)


def refers_only_to_what_is_there(whole):
    """Leave out what dangles, until nothing does."""
    chains = dict(whole.chains)
    elements = {name: dict(rows) for name, rows in whole.elements.items()}
    while True:
        there = {n for n, chain in chains.items() if chain.hook is None} | whole.sets.keys()
        dangling = [n for n, chain in chains.items() if not targets(chain) <= there]
        for name in dangling:
            del chains[name]
        for rows in elements.values():
            for element, entry in list(rows.items()):
                if entry is not True and entry.chain and entry.chain not in there:
                    del rows[element]
        if not dangling:
            return Contents(chains, whole.sets, elements)


def targets(chain):
    found = set()
    for rule in chain.rules:
        for expression in rule.expressions:
            match expression:
                case InSet(set_name=name) | Dispatch(map_name=name) | Verdict(chain=name):
                    found.add(name)
    return found - {""}


def meddling():
    """Draw changes that somebody else makes in our table."""
    address = Set(("saddr",))
    return st.sampled_from(
        [
            AddChain("x", None),
            AddChain("b", None),
            DeleteChain("a"),
            DeleteChain("d"),
            SetRules("b", None, (Rule((Is("dport", 7),)),)),
            SetRules("c", None, ()),
            SetRules("a", None, (Rule((Is("dport", 1), Counter(), Verdict("accept"))),)),
            AddSet("x", address),
            AddSet("s", address),
            DeleteSet("s"),
            DeleteSet("m"),
            AddElements("s", address, {("10.0.0.9",): True}),
            DeleteElements("s", address, {("10.0.0.1",): True}),
            AddElements("m", SHAPES["m"][0], {("cali1",): Verdict("accept")}),
            DeleteElements("m", SHAPES["m"][0], {("cali1",): Verdict("drop")}),
        ]
    )


SUBJECTS = [
    *(Subject("chain", name) for name in CHAINS),
    *(Subject("set", name) for name in SHAPES),
    Subject("element", "s", ("10.0.0.1",)),
    Subject("element", "m", ("cali1",)),
]

steps = st.one_of(
    st.tuples(st.just("intend"), contents()),
    st.tuples(st.just("apply"), st.sampled_from([1, 2, 5, 4_000])),
    st.tuples(st.just("meddle"), meddling()),
    st.tuples(st.just("resync"), st.none()),
    st.tuples(st.just("flush"), st.none()),
    st.tuples(st.just("refuse"), st.frozensets(st.sampled_from(SUBJECTS), max_size=3)),
)
stories = st.lists(steps, max_size=12)


def tell(story, table, refuse):
    """Live through a story; return the reconciler and what is intended at its end."""
    reconciler, intended = NftablesReconciler(table), Contents()
    for what, argument in [*story, ("end", None)]:
        match what:
            case "intend" | "end":
                wanted = argument or refers_only_to_what_is_there(intended)
                reconciler.update(delta(intended, wanted))
                intended = wanted
            case "apply":
                reconciler.apply(argument)
            case "meddle":
                table.apply([argument])
            case "resync":
                reconciler.queue_resync()
            case "flush":
                table.delete()
            case "refuse":
                refuse(argument)
    refuse(frozenset())
    return reconciler, intended


def come_to_rest(reconciler):
    """Resync and apply until nothing is left; it must not take long."""
    reconciler.queue_resync()
    for _ in range(40):
        outcome = reconciler.apply(5)
        assert outcome.failures == {}
        if not outcome.left:
            return
    raise AssertionError("never comes to rest")
