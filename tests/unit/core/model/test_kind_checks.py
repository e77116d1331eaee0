"""Each rule of the API about a kind, with where the complaint is and what it says."""

import msgspec
import pytest

from calico.core.model.checks import CHECKS, check
from calico.core.model.codec import decode
from calico.core.model.defaults import with_defaults
from calico.core.model.registry import KINDS


def document(kind, spec, name="x", **metadata):
    if KINDS[kind].namespaced:
        metadata = {"namespace": "n", **metadata}
    return {"kind": kind, "metadata": {"name": name, **metadata}, "spec": spec}


def pool(**spec):
    return document("IPPool", {"cidr": "10.0.0.0/16", **spec})


def network_policy(name="x", **spec):
    return document("NetworkPolicy", spec, name)


def global_policy(name="x", **spec):
    return document("GlobalNetworkPolicy", spec, name)


def host_endpoint(**spec):
    return document("HostEndpoint", {"node": "n1", "interfaceName": "eth0", **spec})


def felix(name="default", **spec):
    return document("FelixConfiguration", spec, name)


def bgp(name="default", **spec):
    return document("BGPConfiguration", spec, name)


def peer(**spec):
    return document("BGPPeer", spec)


def bgp_filter(**rule):
    return document("BGPFilter", {"exportV4": [{"action": "Accept", **rule}]})


def controllers(name="default", **spec):
    return document("KubeControllersConfiguration", {"controllers": {}, **spec}, name)


def template(**template):
    host_endpoint = {"templates": [{"generateName": "a", "interfacePattern": "eth.*", **template}]}
    return controllers(controllers={"node": {"hostEndpoint": host_endpoint}})


def node_status(**spec):
    spec = {"node": "n1", "classes": ["BGP"], "updatePeriodSeconds": 10, **spec}
    return document("CalicoNodeStatus", spec)


LONG = ".".join(["a" * 60] * 5)
RULE = {"action": "Allow"}
RIGHT = [
    ("policy of one label", network_policy("web")),
    ("policy of two labels", network_policy("tier1.web")),
    ("policy copied from Kubernetes", network_policy("knp.default.a.b.c")),
    ("policy of a security group", network_policy("ossg.default.1234.x")),
    ("global policy of two labels", global_policy("tier1.web")),
    ("both types", network_policy(types=["Ingress", "Egress"])),
    ("performance hint", network_policy(performanceHints=["AssumeNeededOnEveryNode"])),
    ("preDNAT", global_policy(preDNAT=True, applyOnForward=True, ingress=[RULE])),
    ("doNotTrack", global_policy(doNotTrack=True, applyOnForward=True, egress=[RULE])),
    ("staged", document("StagedNetworkPolicy", {"stagedAction": "Learn"})),
    ("staged by default", document("StagedGlobalNetworkPolicy", {"selector": "all()"})),
    (
        "staged Kubernetes deletion",
        document("StagedKubernetesNetworkPolicy", {"stagedAction": "Delete"}),
    ),
    ("tier", document("Tier", {"order": 10.5, "defaultAction": "Pass"})),
    ("empty tier", document("Tier", {})),
    ("default tier", document("Tier", {"order": 1_000_000}, "default")),
    ("admin tier", document("Tier", {"order": 1000, "defaultAction": "Pass"}, "kube-admin")),
    ("baseline", document("Tier", {"order": 10_000_000, "defaultAction": "Pass"}, "kube-baseline")),
    ("profile", document("Profile", {"labelsToApply": {"a/b": "c"}, "ingress": [RULE]})),
    ("network set", document("NetworkSet", {"nets": ["10.0.0.1", "10.0.0.1/8", "fd00::/8"]})),
    ("global network set", document("GlobalNetworkSet", {"nets": ["0.0.0.0/0"]})),
    ("labels", document("GlobalNetworkSet", {}, labels={"a.b/C_d": "E.f-1", "x": ""})),
    ("annotations of the most bytes", document("Profile", {}, annotations={"a": "b" * 262143})),
    ("pool", pool()),
    ("pool for tunnels alone", pool(allowedUses=["Tunnel"], vxlanMode="CrossSubnet")),
    ("pool of one block", document("IPPool", {"cidr": "10.0.0.0/26"})),
    ("small pool that is disabled", document("IPPool", {"cidr": "10.0.0.0/30", "disabled": True})),
    ("small blocks", document("IPPool", {"cidr": "10.0.0.0/32", "blockSize": 32})),
    ("IPv6 pool", document("IPPool", {"cidr": "fd00::/64", "blockSize": 116})),
    ("IPv6 pool in other text", document("IPPool", {"cidr": "FD00:0::/64"})),
    ("load balancer pool", pool(allowedUses=["LoadBalancer"])),
    ("namespaced pool", pool(allowedUses=["Workload"], namespaceSelector="a == 'b'")),
    ("pool with a use twice", pool(allowedUses=["Workload", "Workload"])),
    ("reservation", document("IPReservation", {"reservedCIDRs": ["10.0.0.0/24", "fd00::/64"]})),
    ("host endpoint of all interfaces", host_endpoint(interfaceName="*")),
    (
        "host endpoint by address",
        document("HostEndpoint", {"node": "n1", "expectedIPs": ["10.0.0.1", "fd00::1"]}),
    ),
    ("port of a host", host_endpoint(ports=[{"name": "ssh", "protocol": "TCP", "port": 22}])),
    ("felix", felix(logSeverityScreen="warning", reportingInterval="1m30s", ipv6Support=False)),
    ("felix of a node", felix("node.n1", iptablesBackend="NFT")),
    ("felix by selector", felix("some", nodeSelector="a == 'b'")),
    (
        "felix ports",
        felix(failsafeInboundHostPorts=[{"protocol": "TCP", "port": 22, "net": "10.0.0.0/8"}]),
    ),
    ("felix ports in lower case", felix(failsafeInboundHostPorts=[{"protocol": "tcp", "port": 1}])),
    ("felix without failsafe ports", felix(failsafeInboundHostPorts=[])),
    (
        "felix spans",
        felix(kubeNodePortRanges=[1, "2:3"], natPortRange="100:200", istioDSCPMark="AF11"),
    ),
    ("felix tables", felix(routeTableRanges=[{"min": 1, "max": 250}])),
    ("felix rate", felix(logActionRateLimit="10/minute", logPrefix="a %t: b")),
    ("felix timeouts", felix(bpfConntrackTimeouts={"tcpSynSent": "20s", "tcpFinsSeen": "Auto"})),
    ("felix health", felix(healthTimeoutOverrides=[{"name": "a b", "timeout": "1.5s"}])),
    ("felix durations", felix(routeRefreshInterval="500ms", netlinkTimeout="0s")),
    ("felix interface filters", felix(bpfForceTrackPacketsFromIfaces=["docker+"])),
    ("bgp", bgp(asNumber="1.100", nodeToNodeMeshEnabled=True, listenPort=179, bindMode="NodeIP")),
    ("bgp of a node", bgp("node.n1", logSeverityScreen="Debug")),
    ("bgp services", bgp(serviceClusterIPs=[{"cidr": "10.96.0.0/12"}])),
    (
        "bgp communities",
        bgp(
            communities=[{"name": "c", "value": "65000:100"}],
            prefixAdvertisements=[{"cidr": "10.0.0.0/8", "communities": ["c", "1:2:3"]}],
        ),
    ),
    ("bgp interfaces", bgp(ignoredInterfaces=["eth*", "x.1"])),
    ("peer", peer(peerIP="192.0.2.7", asNumber=65000)),
    ("peer with a port", peer(peerIP="192.0.2.7:179", asNumber=65000)),
    ("IPv6 peer with a port", peer(peerIP="[fd00::7]:179", asNumber=65000)),
    ("peer by selector", peer(peerSelector="all()", nodeSelector="all()")),
    ("peer by gateway", peer(peerIP="192.0.2.7", asNumber=1, reachableBy="192.0.2.1")),
    ("local peers", peer(localWorkloadSelector="all()", asNumber=65000)),
    ("peer with times", peer(peerIP="192.0.2.7", maxRestartTime="90s", ttlSecurity=1)),
    (
        "filter",
        bgp_filter(cidr="10.0.0.0/8", matchOperator="In", prefixLength={"min": 8, "max": 32}),
    ),
    ("filter on interfaces", bgp_filter(interface="eth*", source="RemotePeers", peerType="eBGP")),
    (
        "filter that changes routes",
        bgp_filter(
            communities={"values": ["65000:100"]},
            operations=[
                {"addCommunity": {"value": "1:2:3"}},
                {"prependASPath": {"prefix": [65000, 65001]}},
                {"setPriority": {"value": 100}},
            ],
        ),
    ),
    ("controllers", controllers(healthChecks="Disabled", debugProfilePort=0)),
    ("template", template(interfaceCIDRs=["10.0.0.0/8"], labels={"a": "b"})),
    ("node status", node_status()),
    ("ipam", document("IPAMConfiguration", {"maxBlocksPerHost": 3}, "default")),
]
ICMP_POOL = "spec.ipipMode"
WRONG = [
    (network_policy("A"), "metadata.name", "lower case"),
    (network_policy("a.b.c"), "metadata.name", "at most one '.'"),
    (network_policy("knp.default."), "metadata.name", "at most one '.'"),
    (network_policy("-a"), "metadata.name", "starting and ending"),
    (global_policy("knp.default.a.b"), "metadata.name", "at most one '.'"),
    (document("Profile", {}, LONG), "metadata.name", "at most 253"),
    (document("Profile", {}, "a_b"), "metadata.name", "lower case"),
    (document("Profile", {}, ""), "metadata.name", "is required"),
    (document("Tier", {}, "a.b"), "metadata.name", "lower case"),
    (document("Tier", {}, "a" * 64), "metadata.name", "at most 63"),
    (document("Profile", {}, labels={"a b": "c"}), "metadata.labels", "the key's name"),
    (document("Profile", {}, labels={"A/b": "c"}), "metadata.labels", "before '/'"),
    (document("Profile", {}, labels={"a": "b c"}), "metadata.labels.a", "a label value"),
    (document("Profile", {}, labels={"a": "b" * 64}), "metadata.labels.a", "at most 63"),
    (document("Profile", {}, annotations={"a b": "c"}), "metadata.annotations", "key's name"),
    (
        document("Profile", {}, annotations={"a": "b" * 262144}),
        "metadata.annotations",
        "too large by 1 bytes",
    ),
    (network_policy(types=["Ingress", "Ingress"]), "spec.types", "more than once"),
    (network_policy(types=["Both"]), "spec.types[0]", "Ingress or Egress"),
    (network_policy(selector="global()"), "spec.selector", "namespaceSelector"),
    (network_policy(selector="a = 'b'"), "spec.selector", "write == (column 3)"),
    (
        network_policy(serviceAccountSelector="global()"),
        "spec.serviceAccountSelector",
        "namespaceSelector of a rule",
    ),
    (global_policy(namespaceSelector="global()"), "spec.namespaceSelector", "of a rule"),
    (network_policy(performanceHints=["Fast"]), "spec.performanceHints[0]", "AssumeNeeded"),
    (network_policy(tier="A"), "spec.tier", "lower case"),
    (network_policy(ingress=[RULE] * 1025), "spec.ingress", "at most 1024"),
    (
        global_policy(preDNAT=True, doNotTrack=True, applyOnForward=True),
        "spec.preDNAT",
        "excludes doNotTrack",
    ),
    (global_policy(preDNAT=True), "spec.applyOnForward", "must be true"),
    (global_policy(doNotTrack=True), "spec.applyOnForward", "must be true"),
    (
        global_policy(preDNAT=True, applyOnForward=True, egress=[RULE]),
        "spec.egress",
        "no egress rules",
    ),
    (
        global_policy(preDNAT=True, applyOnForward=True, types=["Egress"]),
        "spec.types",
        "no Egress type",
    ),
    (document("StagedNetworkPolicy", {"stagedAction": "Go"}), "spec.stagedAction", "Set, Delete"),
    (
        document("StagedNetworkPolicy", {"stagedAction": "Delete", "selector": "a == 'b'"}),
        "spec",
        "nothing but tier",
    ),
    (
        document("StagedGlobalNetworkPolicy", {"stagedAction": "Delete", "order": 1}),
        "spec",
        "nothing but tier",
    ),
    (
        document(
            "StagedKubernetesNetworkPolicy", {"stagedAction": "Delete", "policyTypes": ["Egress"]}
        ),
        "spec",
        "nothing but stagedAction",
    ),
    (document("Tier", {"defaultAction": "Allow"}), "spec.defaultAction", "Deny or Pass"),
    (document("Tier", {"order": 5}, "default"), "spec.order", "must have order 1000000"),
    (
        document("Tier", {"order": 1000000, "defaultAction": "Pass"}, "default"),
        "spec.defaultAction",
        "must have defaultAction Deny",
    ),
    (
        document("Tier", {"order": 1000}, "kube-admin"),
        "spec.defaultAction",
        "must have defaultAction Pass",
    ),
    (document("Profile", {"labelsToApply": {"a": "b c"}}), "spec.labelsToApply.a", "label value"),
    (document("NetworkSet", {"nets": ["x"]}), "spec.nets[0]", "not an IP address"),
    (
        document("NetworkSet", {}, labels={"projectcalico.org/namespace": "a"}),
        "metadata.labels",
        "Calico's own",
    ),
    (pool(cidr="10.0.0.1/16"), "spec.cidr", "write 10.0.0.0/16"),
    (pool(cidr="10.0.0.0/27"), "spec.cidr", "smaller than one block (/26)"),
    (pool(cidr="10.0.0.1"), "spec.cidr", "must be a CIDR"),
    (pool(cidr="x"), "spec.cidr", "not an IP address"),
    (pool(cidr=""), "spec.cidr", "is required"),
    (pool(cidr="169.254.0.0/16"), "spec.cidr", "link local"),
    (pool(cidr="fe80::/64"), "spec.cidr", "link local"),
    (pool(blockSize=19), "spec.blockSize", "20 to 32"),
    (pool(blockSize=33), "spec.blockSize", "20 to 32"),
    (pool(cidr="fd00::/64", blockSize=64), "spec.blockSize", "116 to 128"),
    (pool(ipipMode="Always", vxlanMode="Always"), "spec.ipipMode", "excludes vxlanMode"),
    (pool(ipipMode="always"), "spec.ipipMode", "Never, Always or CrossSubnet"),
    (pool(cidr="fd00::/64", ipipMode="Always"), "spec.ipipMode", "does not carry IPv6"),
    (pool(nodeSelector="a ="), "spec.nodeSelector", "(column 3)"),
    (pool(nodeSelector="global()"), "spec.nodeSelector", "no meaning"),
    (
        pool(allowedUses=["Workload"], namespaceSelector="global()"),
        "spec.namespaceSelector",
        "no meaning",
    ),
    (pool(namespaceSelector="all()"), "spec.namespaceSelector", "with use Tunnel"),
    (pool(allowedUses=["Pods"]), "spec.allowedUses[0]", "Workload, Tunnel or LoadBalancer"),
    (pool(allowedUses=["LoadBalancer", "Workload"]), "spec.allowedUses", "excludes Workload"),
    (
        pool(allowedUses=["LoadBalancer"], disableBGPExport=True),
        "spec.disableBGPExport",
        "must be false",
    ),
    (pool(allowedUses=["LoadBalancer"], nodeSelector="a == 'b'"), "spec.nodeSelector", "all()"),
    (pool(allowedUses=["LoadBalancer"], vxlanMode="Always"), "spec.ipipMode", "must be Never"),
    (pool(assignmentMode="Auto"), "spec.assignmentMode", "Automatic or Manual"),
    (document("IPReservation", {"reservedCIDRs": ["x"]}), "spec.reservedCIDRs[0]", "IP address"),
    (document("HostEndpoint", {"interfaceName": "eth0"}), "spec.node", "is required"),
    (document("HostEndpoint", {"node": "n1"}), "spec.interfaceName", "is required"),
    (host_endpoint(interfaceName="a" * 16), "spec.interfaceName", "at most 15"),
    (host_endpoint(interfaceName="eth 0"), "spec.interfaceName", "interface name"),
    (host_endpoint(expectedIPs=["10.0.0.0/8"]), "spec.expectedIPs[0]", "not an IP address"),
    (host_endpoint(profiles=["A"]), "spec.profiles[0]", "lower case"),
    (
        host_endpoint(ports=[{"name": "a", "protocol": "ICMP", "port": 1}]),
        "spec.ports[0].protocol",
        "TCP, UDP or SCTP",
    ),
    (
        host_endpoint(ports=[{"name": "a", "protocol": "TCP", "port": 0}]),
        "spec.ports[0].port",
        "1 to 65535",
    ),
    (
        host_endpoint(ports=[{"name": "A", "protocol": "TCP", "port": 1}]),
        "spec.ports[0].name",
        "lower case letters",
    ),
    (felix(nodeSelector="all()"), "spec.nodeSelector", "cannot be set on default"),
    (felix("node.a", nodeSelector="all()"), "spec.nodeSelector", "cannot be set on node.a"),
    (felix("some", nodeSelector="a"), "spec.nodeSelector", "(column 2)"),
    (felix(iptablesBackend="nft"), "spec.iptablesBackend", "Legacy, NFT or Auto"),
    (felix(logSeverityScreen="loud"), "spec.logSeverityScreen", "Trace, Debug"),
    (felix(routeRefreshInterval="1.5s"), "spec.routeRefreshInterval", "whole hours"),
    (felix(routeRefreshInterval="-1s"), "spec.routeRefreshInterval", "whole hours"),
    (felix(iptablesMarkMask=1 << 32), "spec.iptablesMarkMask", "0 to 4294967295"),
    (felix(kubeNodePortRanges=["web"]), "spec.kubeNodePortRanges[0]", "not a name"),
    (felix(kubeNodePortRanges=list(range(1, 9))), "spec.kubeNodePortRanges", "at most 7"),
    (felix(externalNodesList=["fd00::/8"]), "spec.externalNodesList[0]", "IPv4"),
    (felix(externalNodesList=["x"]), "spec.externalNodesList[0]", "not an IP address"),
    (felix(openstackRegion="a" * 47), "spec.openstackRegion", "at most 46"),
    (felix(openstackRegion="A"), "spec.openstackRegion", "lower case"),
    (felix(natOutgoingAddress="fd00::1"), "spec.natOutgoingAddress", "IPv4 address"),
    (
        felix(deviceRouteSourceAddressIPv6="10.0.0.1"),
        "spec.deviceRouteSourceAddressIPv6",
        "IPv6 address",
    ),
    (
        felix(routeTableRange={"min": 1, "max": 2}, routeTableRanges=[{"min": 1, "max": 2}]),
        "spec.routeTableRange",
        "excludes routeTableRanges",
    ),
    (felix(routeTableRange={"min": 1, "max": 251}), "spec.routeTableRange", "1 to 250"),
    (felix(routeTableRanges=[{"min": 3, "max": 2}]), "spec.routeTableRanges[0]", "min before"),
    (felix(routeTableRanges=[{"min": 1, "max": 70000}]), "spec.routeTableRanges", "65535 tables"),
    (
        felix(failsafeInboundHostPorts=[{"protocol": "icmp", "port": 22}]),
        "spec.failsafeInboundHostPorts[0].protocol",
        "TCP, UDP or SCTP",
    ),
    (
        felix(failsafeInboundHostPorts=[{"port": 22}]),
        "spec.failsafeInboundHostPorts[0].protocol",
        "is required",
    ),
    (felix(logActionRateLimit="10/week"), "spec.logActionRateLimit", "a rate"),
    (felix(logPrefix="a{b"), "spec.logPrefix", "letters"),
    (felix(wireguardListeningPort=0), "spec.wireguardListeningPort", "1 to 65535"),
    (felix(wireguardRoutingRulePriority=32766), "spec.wireguardRoutingRulePriority", "32765"),
    (felix(istioDSCPMark=64), "spec.istioDSCPMark", "0 to 63"),
    (felix(istioDSCPMark="AF99"), "spec.istioDSCPMark", "0 to 63"),
    (
        felix(bpfConntrackTimeouts={"tcpSynSent": "x"}),
        "spec.bpfConntrackTimeouts.tcpSynSent",
        "Auto",
    ),
    (felix(bpfLogFilters={"a b": "c"}), "spec.bpfLogFilters", "interface name"),
    (felix(mtuIfacePattern="("), "spec.mtuIfacePattern", "regular expression"),
    (felix(featureDetectOverride="a=b"), "spec.featureDetectOverride", "feature=true"),
    (
        felix(healthTimeoutOverrides=[{"name": "a/b", "timeout": "1s"}]),
        "spec.healthTimeoutOverrides[0].name",
        "letters",
    ),
    (
        felix(healthTimeoutOverrides=[{"name": "a", "timeout": "-1s"}]),
        "spec.healthTimeoutOverrides[0].timeout",
        "negative",
    ),
    (felix(serviceLoopPrevention="drop"), "spec.serviceLoopPrevention", "Drop, Reject"),
    (felix(floatingIPs="On"), "spec.floatingIPs", "Enabled or Disabled"),
    (felix(ipv4NormalRoutePriority=0), "spec.ipv4NormalRoutePriority", "1 to 2147483646"),
    (felix(goMaxProcs=-2), "spec.goMaxProcs", "-1 to"),
    (felix(bpfMaglevMaxServices=3001), "spec.bpfMaglevMaxServices", "1 to 3000"),
    (felix(prometheusMetricsHost="a b"), "spec.prometheusMetricsHost", "host name"),
    (bgp("node.a", asNumber=1), "spec.asNumber", "only be set in the BGPConfiguration default"),
    (bgp("node.a", nodeToNodeMeshEnabled=False), "spec.nodeToNodeMeshEnabled", "default"),
    (
        bgp("node.a", serviceClusterIPs=[{"cidr": "10.96.0.0/12"}]),
        "spec.serviceClusterIPs",
        "default",
    ),
    (bgp(serviceExternalIPs=[{"cidr": "10.0.0.1/8"}]), "spec.serviceExternalIPs[0].cidr", "write"),
    (bgp(logSeverityScreen="x"), "spec.logSeverityScreen", "Trace"),
    (bgp(bindMode="All"), "spec.bindMode", "None or NodeIP"),
    (bgp(communities=[{"name": "c", "value": "1:2"}]), "spec.communities", "not used"),
    (
        bgp(
            communities=[{"name": "c", "value": "x"}],
            prefixAdvertisements=[{"cidr": "10.0.0.0/8", "communities": ["c"]}],
        ),
        "spec.communities[0].value",
        "a community like",
    ),
    (
        bgp(prefixAdvertisements=[{"cidr": "10.0.0.0/8", "communities": ["65536:1"]}]),
        "spec.prefixAdvertisements[0].communities[0]",
        "below 65536",
    ),
    (
        bgp(prefixAdvertisements=[{"cidr": "10.0.0.0/8", "communities": ["c"]}]),
        "spec.prefixAdvertisements[0].communities[0]",
        "a community like",
    ),
    (
        bgp(prefixAdvertisements=[{"cidr": "10.0.0.0/8"}]),
        "spec.prefixAdvertisements[0].communities",
        "required",
    ),
    (
        bgp(
            nodeToNodeMeshEnabled=False,
            nodeMeshPassword={"secretKeyRef": {"name": "a", "key": "b"}},
        ),
        "spec.nodeMeshPassword",
        "nodeToNodeMeshEnabled is false",
    ),
    (bgp(ignoredInterfaces=["*"]), "spec.ignoredInterfaces[0]", "interface name"),
    (bgp(localWorkloadPeeringIPV4="fd00::1"), "spec.localWorkloadPeeringIPV4", "IPv4"),
    (peer(node="a", nodeSelector="all()"), "spec.nodeSelector", "excludes node"),
    (peer(peerIP="192.0.2.7", peerSelector="all()"), "spec.peerSelector", "excludes peerIP"),
    (peer(peerSelector="all()", asNumber=1), "spec.asNumber", "excludes peerSelector"),
    (peer(peerIP="192.0.2.7:0", asNumber=1), "spec.peerIP", "perhaps with a port"),
    (peer(peerIP="192.0.2", asNumber=1), "spec.peerIP", "must be an address"),
    (peer(peerIP="fd00::1:179x", asNumber=1), "spec.peerIP", "must be an address"),
    (peer(reachableBy="192.0.2.1"), "spec.reachableBy", "needs peerIP"),
    (peer(peerIP="192.0.2.7", reachableBy="fd00::1"), "spec.reachableBy", "must be IPv4"),
    (peer(peerIP="192.0.2.7", reachableBy="x"), "spec.reachableBy", "not an IP address"),
    (peer(localWorkloadSelector="all()"), "spec.asNumber", "is required"),
    (
        peer(localWorkloadSelector="all()", asNumber=1, peerIP="192.0.2.7"),
        "spec.peerIP",
        "excludes localWorkloadSelector",
    ),
    (
        peer(peerIP="192.0.2.7", keepOriginalNextHop=True, nextHopMode="Auto"),
        "spec.keepOriginalNextHop",
        "excludes nextHopMode",
    ),
    (peer(sourceAddress="Mine"), "spec.sourceAddress", "UseNodeIP or None"),
    (peer(filters=["A"]), "spec.filters[0]", "lower case"),
    (bgp_filter(cidr="10.0.0.0/8"), "spec.exportV4[0].matchOperator", "must both be set"),
    (bgp_filter(matchOperator="In"), "spec.exportV4[0].matchOperator", "must both be set"),
    (bgp_filter(cidr="fd00::/8", matchOperator="In"), "spec.exportV4[0].cidr", "IPv4"),
    (bgp_filter(prefixLength={"min": 1}), "spec.exportV4[0].prefixLength", "needs cidr"),
    (
        bgp_filter(cidr="10.0.0.0/8", matchOperator="In", prefixLength={"max": 33}),
        "spec.exportV4[0].prefixLength.max",
        "0 to 32",
    ),
    (bgp_filter(action="Drop"), "spec.exportV4[0].action", "Accept or Reject"),
    (bgp_filter(source="Me"), "spec.exportV4[0].source", "RemotePeers"),
    (bgp_filter(interface="a b"), "spec.exportV4[0].interface", "interface name"),
    (bgp_filter(communities={"values": []}), "spec.exportV4[0].communities.values", "exactly one"),
    (
        bgp_filter(communities={"values": ["x"]}),
        "spec.exportV4[0].communities.values[0]",
        "a community like",
    ),
    (
        bgp_filter(action="Reject", operations=[{"setPriority": {"value": 1}}]),
        "spec.exportV4[0].operations",
        "need action Accept",
    ),
    (
        bgp_filter(operations=[{"setPriority": {"value": 1}, "addCommunity": {"value": "1:2"}}]),
        "spec.exportV4[0].operations[0]",
        "exactly one",
    ),
    (
        bgp_filter(operations=[{"setPriority": {"value": 0}}]),
        "spec.exportV4[0].operations[0].setPriority.value",
        "1 to 2147483646",
    ),
    (
        bgp_filter(operations=[{"prependASPath": {"prefix": []}}]),
        "spec.exportV4[0].operations[0].prependASPath.prefix",
        "1 to 10",
    ),
    (controllers("other"), "metadata.name", "must be default"),
    (controllers(healthChecks="On"), "spec.healthChecks", "Enabled or Disabled"),
    (controllers(logSeverityScreen="debug"), "spec.logSeverityScreen", "None, Debug"),
    (controllers(prometheusMetricsPort=65536), "spec.prometheusMetricsPort", "0 to 65535"),
    (
        template(generateName=""),
        "spec.controllers.node.hostEndpoint.templates[0].generateName",
        "is required",
    ),
    (
        template(interfacePattern=""),
        "spec.controllers.node.hostEndpoint.templates[0]",
        "interfaceCIDRs or",
    ),
    (
        template(nodeSelector="("),
        "spec.controllers.node.hostEndpoint.templates[0].nodeSelector",
        "column",
    ),
    (node_status(node=""), "spec.node", "is required"),
    (node_status(classes=["bgp"]), "spec.classes[0]", "Agent, BGP or Routes"),
    (node_status(updatePeriodSeconds=86401), "spec.updatePeriodSeconds", "0 to 86400"),
    (document("ClusterInformation", {}, "other"), "metadata.name", "must be default"),
    (
        document("IPAMConfiguration", {"maxBlocksPerHost": -1}, "default"),
        "spec.maxBlocksPerHost",
        "0 to 1000000",
    ),
    (document("Profile", {}, namespace="n"), "metadata.namespace", "remove the namespace"),
    (network_policy() | {"metadata": {"name": "x"}}, "metadata.namespace", "name it"),
]


def problems(document):
    raw = msgspec.json.encode(document)
    return check(with_defaults(decode(document["kind"], raw, strict=True)))


@pytest.mark.parametrize(("why", "document"), RIGHT, ids=[why for why, _ in RIGHT])
def test_right(why, document):
    assert problems(document) == (), why


@pytest.mark.parametrize(("document", "path", "says"), WRONG)
def test_wrong(document, path, says):
    found = problems(document)
    assert [problem.field for problem in found if says in problem.reason] == [path], found


def test_every_kind_is_checked():
    assert set(CHECKS) == set(KINDS)


def test_two_templates_of_one_name():
    document = template()
    templates = document["spec"]["controllers"]["node"]["hostEndpoint"]["templates"]
    templates.append(templates[0])
    assert [problem.reason for problem in problems(document)] == [
        "is the generateName of another template too"
    ]
