"""What policies select, and what the sides of rules ask. Expectations are Calico's own answers."""

import pytest

from calico.core.calc.selector_texts import (
    global_network_policy_selector,
    network_policy_selector,
    side_selectors,
)
from calico.core.model.policy import GlobalNetworkPolicySpec, NetworkPolicySpec
from calico.core.model.rule import EntityRule, ServiceAccountMatch
from calico.core.selector.parser import parse_selector

SHOP = 'projectcalico.org/namespace == "shop"'
IN_A_NAMESPACE = "has(projectcalico.org/namespace)"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (NetworkPolicySpec(), SHOP),
        (NetworkPolicySpec(selector="a == '1' || has(b)"), f'((a == "1" || has(b)) && {SHOP})'),
        (
            NetworkPolicySpec(service_account_selector="role == 'x'"),
            f'({SHOP} && pcsa.role == "x")',
        ),
        (NetworkPolicySpec(service_account_selector="all()"), f"({SHOP} && all())"),
    ],
)
def test_network_policy(spec, expected):
    assert parse_selector(network_policy_selector("shop", spec)).text == expected


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({}, "all()"),
        ({"selector": "has(a)"}, "has(a)"),
        ({"namespace_selector": "all()"}, IN_A_NAMESPACE),
        ({"namespace_selector": "team == 'x'"}, 'pcns.team == "x"'),
        (
            {"selector": "all()", "namespace_selector": "has(t)"},
            f"({IN_A_NAMESPACE} && has(pcns.t))",
        ),
        (  # the text is searched, not the meaning
            {"selector": "all( )", "namespace_selector": "has(t)"},
            "(all() && has(pcns.t))",
        ),
        (
            {"selector": "all()", "service_account_selector": "has(r)"},
            "(has(projectcalico.org/serviceaccount) && has(pcsa.r))",
        ),
        (
            {"namespace_selector": "all()", "service_account_selector": "all()"},
            f"({IN_A_NAMESPACE} && has(projectcalico.org/serviceaccount))",
        ),
    ],
)
def test_global_network_policy(parts, expected):
    spec = GlobalNetworkPolicySpec(**parts)
    assert parse_selector(global_network_policy_selector(spec)).text == expected


ACCOUNTS_TEXT = '(pcsa.role == "r" && projectcalico.org/serviceaccount in {"s1", "s2"})'
ACCOUNTS = ServiceAccountMatch(names=("s2", "s1"), selector="role == 'r'")


@pytest.mark.parametrize(
    ("why", "side", "namespace", "positive", "negative"),
    [
        ("nothing asked, nothing restricted", EntityRule(), "shop", "", ""),
        ("nets are of no namespace", EntityRule(nets=("10.0.0.0/8",)), "shop", "", ""),
        (
            "a selector is of the namespace",
            EntityRule(selector="a == '1'"),
            "shop",
            f'({SHOP} && a == "1")',
            "",
        ),
        ("or of none", EntityRule(selector="a == '1'"), "", 'a == "1"', ""),
        (
            "a negation merges into the namespace",
            EntityRule(not_selector="has(x)"),
            "shop",
            f"({SHOP} && !has(x))",
            "",
        ),
        ("or stands alone", EntityRule(not_selector="has(x)"), "", "", "has(x)"),
        (
            "a namespace selector replaces the namespace",
            EntityRule(namespace_selector="all()"),
            "shop",
            IN_A_NAMESPACE,
            "",
        ),
        (
            "global() is what is in no namespace",
            EntityRule(namespace_selector="global()"),
            "",
            f"!{IN_A_NAMESPACE}",
            "",
        ),
        (
            "all parts, in their order",
            EntityRule(
                selector="all()",
                namespace_selector="has(t)",
                not_selector="z != 'q'",
                service_accounts=ACCOUNTS,
            ),
            "shop",
            f'((has(pcns.t) && ({ACCOUNTS_TEXT} && all())) && !z != "q")',
            "",
        ),
        (
            "service accounts that name nobody",
            EntityRule(service_accounts=ServiceAccountMatch()),
            "shop",
            "",
            "",
        ),
    ],
)
def test_sides(why, side, namespace, positive, negative):
    found = side_selectors(side, namespace)
    assert bool(found.positive) == bool(positive), why
    assert bool(found.negative) == bool(negative), why
    assert parse_selector(found.positive or "all()").text == (positive or "all()"), why
    assert parse_selector(found.negative or "all()").text == (negative or "all()"), why
