"""As much of the agent as it takes to bring an intent into the kernel's tables.

intent, after intent --difference--> RuleSets --> reconcilers --> netlink
intent --> rule_sets --> text --> nft              the other way in, to compare
"""

from calico.core.intent.delta import Intent, IntentDelta
from calico.core.nftables.changes import Contents
from calico.core.nftables.text import render_table
from calico.core.render.ruleset import RuleSets, rule_sets
from calico.kernel.nftables import KernelTable
from calico.reconcile.nftables import NftablesReconciler

TABLES = {"ip": "calico", "ip6": "calico", "arp": "calico-arp"}


class TablesAgent:
    """The rule sets of a node and what brings them into the kernel it is started in."""

    def __init__(self, settings):
        self._rule_sets, self._intent = RuleSets(settings), Intent()
        tables = {family: KernelTable(family, name) for family, name in TABLES.items()}
        self._tables = tables.values()
        self._reconcilers = {f: NftablesReconciler(table) for f, table in tables.items()}

    def become(self, intent):
        """Change what is intended; return how many keys of the kernel that took."""
        self._rule_sets.feed(difference(self._intent, intent))
        self._intent, applied = intent, 0
        for family, delta in self._rule_sets.flush().items():
            self._reconcilers[family].update(delta)
        for reconciler in self._reconcilers.values():
            outcome = reconciler.apply()
            applied += outcome.applied
            assert not outcome.failures
            assert not outcome.left
        return applied

    def close(self):
        for table in self._tables:
            table.close()


def difference(old, new):
    """What the calculation would send to bring one intent to another."""
    parts = {
        name: changed(getattr(old, name), getattr(new, name))
        for name in ("policies", "profiles", "endpoints", "pools")
    }
    ip_sets, members = changed(old.ip_sets, new.ip_sets), {}
    for set_id, ip_set in tuple(ip_sets.items()):
        before = old.ip_sets.get(set_id)
        if ip_set and before and before.kind == ip_set.kind:
            del ip_sets[set_id]
            for member in before.members ^ ip_set.members:
                members[set_id, member] = True if member in ip_set.members else None
    return IntentDelta(ip_sets=ip_sets, members=members, **parts)


def changed(old, new):
    return {key: new.get(key) for key in {*old, *new} if old.get(key) != new.get(key)}


def contents(table):
    """Sort a table's elements by set."""
    elements = {name: {} for name in table.sets}
    for (name, element), value in table.elements.items():
        elements[name][element] = value
    return Contents(table.chains, table.sets, elements)


def table_texts(intent, settings):
    """Write each table for `nft -f`, so that it replaces what is there."""
    for family, table in rule_sets(intent, settings).items():
        name = TABLES[family]
        replaced = f"table {family} {name}\ndelete table {family} {name}\n"
        yield replaced + render_table(family, name, contents(table))
