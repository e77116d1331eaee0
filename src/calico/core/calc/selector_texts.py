"""The selectors that a policy and its rules come to, put together from what people wrote.

    a policy selects     selector, namespaceSelector, serviceAccountSelector and, in a
                         NetworkPolicy, its namespace
    a rule's side asks   serviceAccounts, selector, notSelector, and namespaceSelector or, in a
                         NetworkPolicy that names any of these, its namespace

Labels of namespaces and service accounts reach endpoints under a prefix (labels.py), so the
selectors of those get the prefix too. Everything is put together as text, since that is where
Calico replaces all() and global(), and the canonical form of the result is the IP set's id.

Source: policy-semantics 3.3.2, 3.4.2; libcalico-go updateprocessors/{rules,selectors,
networkpolicyprocessor,globalnetworkpolicyprocessor}.go.
"""

from typing import NamedTuple

from calico.core.calc.labels import (
    NAMESPACE_LABEL,
    NAMESPACE_PREFIX,
    SERVICE_ACCOUNT_LABEL,
    SERVICE_ACCOUNT_PREFIX,
)
from calico.core.model.policy import GlobalNetworkPolicySpec, NetworkPolicySpec
from calico.core.model.rule import EntityRule, ServiceAccountMatch
from calico.core.selector.ast import with_prefix
from calico.core.selector.parser import parse_selector


class SideSelectors(NamedTuple):
    """What one side of a rule asks of labels; "" is nothing. At most one of them is negative."""

    positive: str
    negative: str


def prefixed(selector: str, prefix: str) -> str:
    """Return the canonical text with each label prefixed. Raises SelectorError."""
    return with_prefix(parse_selector(selector), prefix).text


def network_policy_selector(namespace: str, spec: NetworkPolicySpec) -> str:
    """Return what a NetworkPolicy selects. Its all() of service accounts stays as it is."""
    mine = in_namespace(namespace)
    selector = f"({spec.selector}) && {mine}" if spec.selector else mine
    return _narrowed(selector, spec.service_account_selector, SERVICE_ACCOUNT_PREFIX)


def global_network_policy_selector(spec: GlobalNetworkPolicySpec) -> str:
    """Return what a GlobalNetworkPolicy selects. Each all() of the text, once narrowed, narrows."""
    selector = spec.selector
    if spec.namespace_selector:
        selector = _narrowed(selector, spec.namespace_selector, NAMESPACE_PREFIX)
        selector = selector.replace("all()", f"has({NAMESPACE_LABEL})")
    if spec.service_account_selector:
        selector = _narrowed(selector, spec.service_account_selector, SERVICE_ACCOUNT_PREFIX)
        selector = selector.replace("all()", f"has({SERVICE_ACCOUNT_LABEL})")
    return selector


def side_selectors(side: EntityRule, namespace: str) -> SideSelectors:
    """Return what a side asks in a policy of this namespace ("": a global one, or a profile).

    A negative part merges into a positive one, which limits the rule to known endpoints and sets;
    alone it stays a negation, which unknown addresses satisfy.
    """
    positive = _positive(side, namespace)
    if positive and side.not_selector:
        return SideSelectors(f"({positive}) && (!({side.not_selector}))", "")
    return SideSelectors(positive, side.not_selector)


def in_namespace(namespace: str) -> str:
    """Return the selector of one namespace's endpoints."""
    return f"{NAMESPACE_LABEL} == '{namespace}'"


def _narrowed(selector: str, by: str, prefix: str) -> str:
    if not by:
        return selector
    return f"({selector}) && {prefixed(by, prefix)}" if selector else prefixed(by, prefix)


def _positive(side: EntityRule, namespace: str) -> str:
    where = _where(side.namespace_selector, namespace)
    accounts = _accounts(side.service_accounts) if side.service_accounts else ""
    parts = [part for part in (accounts, side.selector) if part]
    what = f"({parts[0]}) && ({parts[1]})" if len(parts) == 2 else "".join(parts)
    if not where or not (what or side.not_selector or side.namespace_selector):
        return what
    return f"({where}) && ({what})" if what else where


def _where(namespace_selector: str, namespace: str) -> str:
    if not namespace_selector:
        return in_namespace(namespace) if namespace else ""
    selector = prefixed(namespace_selector, NAMESPACE_PREFIX)
    selector = selector.replace("all()", f"has({NAMESPACE_LABEL})")
    return selector.replace("global()", f"!has({NAMESPACE_LABEL})")


def _accounts(accounts: ServiceAccountMatch) -> str:
    selector = prefixed(accounts.selector, SERVICE_ACCOUNT_PREFIX) if accounts.selector else ""
    if not accounts.names:
        return selector
    listed = ", ".join(f"'{name}'" for name in accounts.names)
    named = parse_selector(f"{SERVICE_ACCOUNT_LABEL} in {{ {listed} }}").text
    return f"({selector}) && ({named})" if selector else named
