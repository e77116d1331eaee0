"""Rules, sets and elements for properties: small alphabets, every expression of the vocabulary."""

from hypothesis import strategies as st

from calico.core.nftables.vocabulary import (
    AddressType,
    AnyOf,
    ConnectionLimit,
    Counter,
    CtState,
    Dispatch,
    Dnat,
    InSet,
    Is,
    Limit,
    Log,
    Masquerade,
    NoTrack,
    Reject,
    ReversePathMissing,
    Rule,
    Set,
    SetMark,
    Snat,
    Verdict,
)

ADDRESSES = {
    "ip": ("10.0.0.1", "10.0.0.2", "192.168.1.255", "255.255.255.255", "1.0.0.0"),
    "ip6": ("fd00::1", "fd00::2", "2001:db8::ff:0", "ffff::", "::"),
}
PREFIXES = {
    "ip": ("10.0.0.0/8", "10.0.0.0/25", "10.0.0.128/25", "192.168.0.0/23", "0.0.0.0/0"),
    "ip6": ("fd00::/8", "fd00::/10", "fd00::8000/113", "2001:db8::/32", "::/0"),
}
NAMES = ("eth0", "cali12345678901", "lo", "tunl0")
SETS = {
    "addresses": Set(("saddr",)),
    "prefixes": Set(("saddr",), intervals=True),
    "members": Set(("saddr", "l4proto", "sport")),
    "marks": Set(("mark",)),
    "interfaces": Set(("iifname",), verdicts=True),
    "pairs": Set(("iifname", "saddr"), verdicts=True),
}
CHAINS = ("filter-cali-FORWARD", "cali-pi-np/shop/web", "c3")
ALL_BITS = 0xFFFFFFFF

numbers = st.sampled_from([0, 1, 2, 3, 80, 443, 65534, 65535])
protocols = st.sampled_from([1, 6, 17, 255])  # nft 1.0.6 dies of 0 before a joined key
spans = st.tuples(numbers, numbers).map(lambda p: (min(p), max(p)))
bits = st.sampled_from([0x1, 0xFF00, 0x80000000, 0xFFFF0000])
negations = st.booleans()
words = st.sampled_from(["", "a", "calico-packet: ", "x" * 127])


def is_field(field, values):
    return st.builds(Is, st.just(field), values, negations)


def any_of(field, values):
    rows = st.lists(values, min_size=1, max_size=4).map(tuple)
    return st.builds(AnyOf, st.just(field), rows, negations)


verdicts = st.one_of(
    st.sampled_from([Verdict("accept"), Verdict("drop"), Verdict("return")]),
    st.builds(Verdict, st.sampled_from(["jump", "goto"]), st.just(CHAINS[2])),
)


def ports():
    return st.one_of(
        is_field("sport", numbers),
        any_of("dport", numbers | spans),
        any_of("sport", spans),
    )


def matches(family):
    """Draw tests that say nothing of the transport."""
    address, prefix = st.sampled_from(ADDRESSES[family]), st.sampled_from(PREFIXES[family])
    return st.one_of(
        is_field("iifname", st.sampled_from([*NAMES, "cali*"])),
        is_field("oifname", st.sampled_from([*NAMES, "cali*"])),
        is_field("mark", bits),
        st.builds(Is, st.just("mark"), st.just(0), negations, bits),
        is_field("saddr", address | prefix),
        is_field("daddr", address | prefix),
        is_field("ct_status_dnat", st.sampled_from([0, 1])),
        any_of("saddr", address | prefix),
        any_of("iifname", st.sampled_from(NAMES)),
        any_of("mark", bits),
        st.builds(InSet, st.just(("daddr",)), st.just("addresses"), negations),
        st.builds(InSet, st.just(("saddr",)), st.just("prefixes"), negations),
        st.builds(InSet, st.just(("daddr", "l4proto", "dport")), st.just("members"), negations),
        st.builds(Dispatch, st.just(("oifname",)), st.just("interfaces")),
        st.builds(Dispatch, st.just(("iifname", "saddr")), st.just("pairs")),
        st.builds(
            CtState,
            st.frozensets(
                st.sampled_from(["new", "established", "related", "invalid", "untracked"]),
                min_size=1,
            ),
            negations,
        ),
        st.builds(
            AddressType,
            st.sampled_from(["saddr", "daddr"]),
            st.sampled_from(["local", "unicast", "broadcast", "multicast"]),
            negations,
        ),
        st.just(ReversePathMissing()),
        st.builds(
            Limit,
            st.integers(1, 1000),
            st.sampled_from(["second", "minute", "hour", "day"]),
            st.integers(1, 100),
            st.booleans(),
        ),
        st.builds(ConnectionLimit, st.integers(1, 100)),
    )


def transports(family):
    """Draw what a rule says of the transport, and the actions that need it."""
    number = {"tcp": 6, "icmp": 1 if family == "ip" else 58}
    icmp = st.sampled_from(
        [(), (Is("icmp_type", 8),), (Is("icmp_type", 3), Is("icmp_code", 4, negated=True))]
    )
    return st.one_of(
        st.tuples(st.just(()), actions(family)),
        st.tuples(ports(), actions(family)),
        st.tuples(is_field("l4proto", protocols) | any_of("l4proto", protocols), actions(family)),
        st.tuples(icmp.map(lambda tests: (Is("l4proto", number["icmp"]), *tests)), verdicts),
        st.tuples(
            st.lists(ports(), max_size=2).map(lambda tests: (Is("l4proto", number["tcp"]), *tests)),
            actions(family) | tcp_actions(family),
        ),
    )


def actions(family):
    address = st.sampled_from(ADDRESSES[family][:3])
    return st.one_of(
        verdicts,
        st.builds(lambda mask, value: SetMark(mask, mask & value), bits, bits),
        st.builds(SetMark, st.just(ALL_BITS), bits),
        st.just(Counter()),
        st.builds(Log, words, st.integers(0, 7)),
        st.builds(lambda prefix, group: Log(prefix, group=group), words, st.integers(0, 9)),
        st.just(NoTrack()),
        st.builds(Masquerade, st.none(), st.booleans()),
        st.builds(Snat, address, st.none(), st.booleans()),
        st.builds(Dnat, address),
        st.just(Reject()),
    )


def tcp_actions(family):
    address, range_ = st.sampled_from(ADDRESSES[family][:3]), st.sampled_from([(1, 2), (5, 65535)])
    return st.one_of(
        st.builds(Masquerade, range_, st.booleans()),
        st.builds(Snat, address, range_, st.booleans()),
        st.just(Reject("tcp-reset")),
    )


def flat(items):
    return tuple(e for item in items for e in (item if isinstance(item, tuple) else (item,)))


def rules(family):
    """One action, and last: what follows a verdict can never be reached."""
    return st.builds(
        lambda before, end, comment: Rule(flat([*before, *end]), comment),
        st.lists(matches(family), max_size=3),
        transports(family),
        st.sampled_from(["", "a rule", "cali:abc; Policy shop/web"]),
    )


def elements(family):
    """Elements for the sets of SETS, as the reconciler has them."""
    address, prefix = ADDRESSES[family][:3], PREFIXES[family][:1] + PREFIXES[family][3:4]
    return {
        "addresses": {(a,): True for a in address},
        "prefixes": {(p,): True for p in prefix},
        "members": {(address[0], 6, 80): True, (address[1], 17, 53): True},
        "marks": {(1,): True, (0x10000,): True},
        "interfaces": {("cali1",): Verdict("goto", CHAINS[2]), ("eth0",): Verdict("drop")},
        "pairs": {("cali1", address[0]): Verdict("jump", CHAINS[2])},
    }
