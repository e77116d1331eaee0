import msgspec
import pytest

from calico.core.model.codec import decode
from calico.core.model.felix_config import FelixConfigurationSpec
from calico.core.model.felix_parameters import parameter_name, parameters


def texts(spec, **annotations):
    document = {"metadata": {"annotations": annotations}, "spec": spec}
    return parameters(decode("FelixConfiguration", msgspec.json.encode(document)))


@pytest.mark.parametrize(
    ("field", "value", "parameter", "text"),
    [
        ("ipv6Support", False, "Ipv6Support", "false"),
        ("xdpEnabled", True, "XDPEnabled", "true"),
        ("ipipMTU", 1400, "IpInIpMtu", "1400"),
        ("interfacePrefix", "cali,tap", "InterfacePrefix", "cali,tap"),
        ("reportingInterval", "1m30s", "ReportingIntervalSecs", "90"),
        ("routeRefreshInterval", "1500ms", "RouteRefreshInterval", "1.5"),
        ("iptablesLockProbeInterval", "50ms", "IptablesLockProbeIntervalMillis", "50"),
        ("iptablesLockProbeInterval", "1500us", "IptablesLockProbeIntervalMillis", "1.5"),
        ("netlinkTimeout", "0s", "NetlinkTimeoutSecs", "0"),
        (
            "externalNodesList",
            ["10.0.0.0/8", "1.2.3.4"],
            "ExternalNodesCIDRList",
            "10.0.0.0/8,1.2.3.4",
        ),
        ("failsafeInboundHostPorts", [], "FailsafeInboundHostPorts", "none"),
        (
            "failsafeInboundHostPorts",
            [
                {"protocol": "TCP", "port": 22},
                {"protocol": "UDP", "port": 53, "net": "10.0.0.0/8"},
                {"protocol": "TCP", "port": 22, "net": "fd00::/8"},
            ],
            "FailsafeInboundHostPorts",
            "tcp:22,udp:10.0.0.0/8:53,tcp:[fd00::/8]:22",
        ),
        ("routeTableRange", {"min": 1, "max": 250}, "RouteTableRange", "1-250"),
        (
            "routeTableRanges",
            [{"min": 1, "max": 2}, {"min": 5, "max": 6}],
            "RouteTableRanges",
            "1-2,5-6",
        ),
        (
            "healthTimeoutOverrides",
            [{"name": "a", "timeout": "90s"}, {"name": "b", "timeout": "0s"}],
            "HealthTimeoutOverrides",
            "a=1m30s,b=0s",
        ),
        (
            "bpfConntrackTimeouts",
            {"tcpSynSent": "20s", "icmpTimeout": "Auto"},
            "BPFConntrackTimeouts",
            "TCPSynSent=20s,ICMPTimeout=Auto",
        ),
        ("bpfLogFilters", {"eth0": "x"}, "BPFLogFilters", "eth0=x,"),
        ("natPortRange", "100:200", "NATPortRange", "100:200"),
        ("kubeNodePortRanges", [1, "2:3"], "KubeNodePortRanges", "[1 2:3]"),
        ("wireguardKeepAlive", "25s", "WireguardPersistentKeepAlive", "25"),
        ("bpfConntrackMode", "Auto", "BPFConntrackCleanupMode", "Auto"),
        ("nftablesMode", "Enabled", "NFTablesMode", "Enabled"),
        ("nftablesRefreshInterval", "10s", "NftablesRefreshInterval", "10"),
    ],
)
def test_texts(field, value, parameter, text):
    assert texts({field: value}) == {parameter: text}


def test_what_says_nothing_is_left_out():
    assert texts({"nodeSelector": "all()", "logPrefix": "", "healthTimeoutOverrides": []}) == {}


def test_annotations_win():
    found = texts(
        {"logPrefix": "a"},
        **{
            "config.projectcalico.org/LogPrefix": "b",
            "config.projectcalico.org/New": "c",
            "x": "d",
        },
    )
    assert found == {"LogPrefix": "b", "New": "c"}


def test_no_two_settings_are_one_parameter():
    fields = FelixConfigurationSpec.__struct_fields__
    assert len({parameter_name(field).lower() for field in fields}) == len(fields)
