"""Random clusters of one node, whose policies use every word of the policy language.

    number --> Cluster: resources that the API accepts, and raw records that it would not

Pods a, b and c have the addresses of tests/packets.py. What is left out is what makes the
original panic in a loop (an ICMP type with a code, a type beside protocol 1 or 58 by number,
notICMP beside another protocol), and what needs other machines.
"""

import random

from calico.core.model.keys import path_of
from calico.core.model.problem import InvalidResource
from calico.core.model.stored import to_record
from two_agents import NODE, key_of_resource, orchestrated, resource, workload

PODS = {"a": 10, "b": 11, "c": 12}
NAMESPACES = ("one", "two")
NETS4 = ("10.65.0.10/32", "10.65.0.10/31", "10.65.0.0/24", "192.0.2.0/24", "0.0.0.0/0")
NETS6 = ("fd65::10/128", "fd65::/64", "2001:db8::/64", "fd65::11/128")
PROTOCOLS = ("TCP", "UDP", "ICMP", "ICMPv6", "SCTP", "UDPLite", 6, 17, 132, 1, 58, 4, 47)
ATOMS = (
    *("role == 'web'", "role != 'web'", "role in {'db', 'web'}", "role not in {'db'}", "has(env)"),
    *("!has(env)", "env contains 'ro'", "env starts with 'pr'", "env ends with 'st'", "all()"),
    *("all()", "projectcalico.org/namespace == 'one'", "pcns.team == 'red'", "kind == 'set'"),
)
NAMESPACE_ATOMS = ("team == 'red'", "has(team)", "all()", "global()", "team != 'blue'")
ACCOUNT_ATOMS = ("job == 'build'", "has(job)", "all()")


class Cluster:
    """See the module."""

    def __init__(self, number):
        self.pick = random.Random(number)  # noqa: S311
        self.number = number
        self.resources, self.raw = [], {}
        self.tiers = self.make_tiers()
        self.make_profiles()
        self.make_network_sets()
        self.make_others()
        for name, last in PODS.items():
            self.make_pod(name, last)
        for index in range(self.pick.randint(2, 8)):
            self.make_policy(index)

    def maybe(self, chance):
        return self.pick.random() < chance

    def add(self, *arguments, **more):
        try:
            self.resources.append(resource(*arguments, **more))
        except InvalidResource:
            return False
        return True

    def make_tiers(self):
        names = self.pick.sample(["early", "same-a", "same-b", "late"], self.pick.randint(0, 3))
        for name in names:
            order = {"early": 1, "same-a": 50, "same-b": 50, "late": 2e6}[name]
            action = self.pick.choice(["Deny", "Pass", "Pass"])
            tier = f"{name}-{self.number}"
            self.add("Tier", tier, {"order": order, "defaultAction": action})
        return ["default", *(f"{name}-{self.number}" for name in names)]

    def make_profiles(self):
        teams = {"one": {"pcns.team": "red"}, "two": {"pcns.team": "blue"}}
        for name in NAMESPACES:
            labels = {**teams[name], "pcns.projectcalico.org/name": name}
            rules = {} if self.maybe(0.2) else {way: [{"action": "Allow"}] for way in WAYS}
            self.add("Profile", f"kns.{name}", {"labelsToApply": labels, **rules})
        labels = {"pcsa.job": "build", "pcsa.projectcalico.org/name": "builder"}
        self.add("Profile", "ksa.one.builder", {"labelsToApply": labels})
        self.add("Profile", "odd", {way: self.rules("") for way in WAYS})

    def make_network_sets(self):
        for index in range(self.pick.randint(0, 3)):
            nets = self.pick.sample([*NETS4, *NETS6], self.pick.randint(1, 3))
            labels = {"kind": "set"} if self.maybe(0.5) else self.labels()
            if self.maybe(0.5):
                self.add("GlobalNetworkSet", f"set-{index}", {"nets": nets}, labels=labels)
            else:
                space = self.pick.choice(NAMESPACES)
                self.add("NetworkSet", f"set-{index}", {"nets": nets}, space, labels)

    def make_others(self):
        """A host endpoint of another node has the address of `outside`; pools that are left."""
        if self.maybe(0.5):
            port = {"name": "web", "port": self.pick.choice([80, 443]), "protocol": "TCP"}
            spec = {
                "node": "n2",
                "interfaceName": "eth0",
                "expectedIPs": ["192.0.2.2", "2001:db8::2"],
                "ports": [port],
                "profiles": self.pick.choice([[], ["kns.one"]]),
            }
            self.add("HostEndpoint", "other", spec, labels=self.labels())
        for name, cidr in (("pool4", "10.65.0.0/24"), ("pool6", "fd65::/64")):
            if self.maybe(0.5):
                self.add("IPPool", name, {"cidr": cidr, "natOutgoing": self.maybe(0.7)})

    def labels(self):
        labels = {}
        if self.maybe(0.7):
            labels["role"] = self.pick.choice(["web", "db"])
        if self.maybe(0.5):
            labels["env"] = self.pick.choice(["prod", "test"])
        return labels

    def make_pod(self, name, last):
        space = self.pick.choice(NAMESPACES)
        own = self.labels()
        profiles = [f"kns.{space}"]
        if self.maybe(0.5):
            own["projectcalico.org/serviceaccount"] = "builder"
            profiles.append("ksa.one.builder")
        if self.maybe(0.3):
            profiles.insert(self.pick.randint(0, len(profiles)), "odd")
        if self.maybe(0.1):
            profiles.append("missing")
        if self.maybe(0.05):
            profiles = []
        ports = [
            {"name": "web", "port": self.pick.choice([80, 443]), "protocol": "TCP"},
            {"name": "web", "port": 53, "protocol": "UDP"},
            {"name": "sig", "port": 80, "protocol": "SCTP"},
        ]
        nets = [f"10.65.0.{last}/32", f"fd65::{last}/128"]
        some = self.pick.sample(ports, self.pick.randint(0, 3))
        spec = workload(name, *nets, profiles=profiles, ports=some)
        made = self.add(
            "WorkloadEndpoint", f"{NODE}-k8s-{name}-eth0", spec, space, orchestrated(space, **own)
        )
        assert made, spec

    def make_policy(self, index):
        space = self.pick.choice(["", *NAMESPACES])
        kind = "NetworkPolicy" if space else "GlobalNetworkPolicy"
        tier = self.pick.choice(self.tiers)
        spec = {
            "tier": tier,
            "selector": self.selector(ATOMS, 0.3),
            "types": self.pick.choice([["Ingress"], ["Egress"], ["Ingress", "Egress"]]),
        }
        if self.maybe(0.7):
            spec["order"] = self.pick.choice([1, 10, 10, 100.5])
        for way, name in zip(WAYS, ("Ingress", "Egress"), strict=True):
            if name in spec["types"]:
                spec[way] = self.rules(space)
        if not space and self.maybe(0.3):
            spec["namespaceSelector"] = self.selector(("team == 'red'", "all()"), 0)
        if self.maybe(0.2):
            spec["serviceAccountSelector"] = self.selector(ACCOUNT_ATOMS, 0)
        if self.maybe(0.15):
            kind = f"Staged{kind}"
            spec["stagedAction"] = "Set"
        name = self.pick.choice([f"p{index}", f"p-{index}", f"p{index}.x", f"a-long-name-{index}"])
        name = name if "." in name else f"{tier}.{name}"
        if self.add(kind, name, spec, space) and self.maybe(0.1):
            self.move_to_a_missing_tier()

    def move_to_a_missing_tier(self):
        made = self.resources.pop()
        tier = f"gone-{self.number}".encode()
        value = to_record(made).replace(b'"tier":"' + made.spec.tier.encode(), b'"tier":"' + tier)
        self.raw[path_of(key_of_resource(made))] = value

    def selector(self, atoms, empty):
        if self.maybe(empty):
            return ""
        text = self.pick.choice(atoms)
        if self.maybe(0.3):
            text = f"{text} {self.pick.choice(['&&', '||'])} {self.pick.choice(atoms)}"
        return f"!({text})" if self.maybe(0.15) and "global" not in text else text

    def rules(self, space):
        """Rules that the API takes: each is tried in a policy of its own first."""
        found = []
        for _ in range(self.pick.randint(0, 5)):
            rule = self.rule()
            way = self.pick.choice(WAYS)
            with_it = {"tier": "default", way: [rule]}
            try:
                if space:
                    resource("NetworkPolicy", "default.try", with_it, space)
                else:
                    resource("GlobalNetworkPolicy", "default.try", with_it)
            except InvalidResource:
                continue
            found.append(rule)
        return found

    def rule(self):
        rule = {"action": self.pick.choice(["Allow", "Allow", "Allow", "Deny", "Pass", "Log"])}
        for end in ("source", "destination"):
            if self.maybe(0.5):
                rule[end] = self.end()
        self.add_protocol(rule)
        if self.maybe(0.1):
            rule["ipVersion"] = self.pick.choice([4, 6])
        if rule["action"] == "Allow" and self.maybe(0.05):
            rule["http"] = {"methods": ["GET"]}
        return rule

    def add_protocol(self, rule):
        ends = [rule.get("source", {}), rule.get("destination", {})]
        ports = any("ports" in end or "notPorts" in end for end in ends)
        if ports or self.maybe(0.5):
            names = ("TCP", "TCP", "UDP", "SCTP", 6, 17) if ports else PROTOCOLS
            rule["protocol"] = self.pick.choice(names)
        if self.maybe(0.1):
            rule["notProtocol"] = self.pick.choice(PROTOCOLS)
        if rule.get("protocol") in {"ICMP", "ICMPv6"} and self.maybe(0.7):
            rule["icmp"] = {"type": self.pick.choice([8, 13, 128, 0])}
        if rule.get("protocol") in {None, "ICMP", "ICMPv6"} and self.maybe(0.1):
            rule["notICMP"] = {"type": self.pick.choice([8, 128])}

    def end(self):
        end = {}
        nets = self.pick.choice([NETS4, NETS4, NETS6])
        chances = {
            "nets": (0.3, lambda: self.pick.sample(nets, 2)),
            "notNets": (0.15, lambda: self.pick.sample([n for n in nets if "/0" not in n], 2)),
            "selector": (0.3, lambda: self.selector(ATOMS, 0)),
            "notSelector": (0.15, lambda: self.selector(ATOMS, 0)),
            "namespaceSelector": (0.15, lambda: self.selector(NAMESPACE_ATOMS, 0)),
            "serviceAccounts": (0.1, self.accounts),
            "ports": (0.25, self.ports),
            "notPorts": (0.1, self.ports),
        }
        for field, (chance, value) in chances.items():
            if self.maybe(chance):
                end[field] = value()
        return end

    def accounts(self):
        some = {}
        if self.maybe(0.6):
            some["names"] = ["builder"]
        if self.maybe(0.5):
            some["selector"] = self.selector(ACCOUNT_ATOMS, 0)
        return some

    def ports(self):
        return self.pick.sample([80, 443, "50:60", "4000:4001", "web", "sig", "absent"], 2)


WAYS = ("ingress", "egress")
