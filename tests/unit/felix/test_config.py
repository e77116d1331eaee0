import pytest

from calico.felix.config import Source, environment_source, file_source, merge


def test_sources_by_rank():
    environment = environment_source({"felix_ipv6support": "no", "PATH": "/bin"})
    file = file_source("felix.cfg", "[global]\nIpv6Support = true\nVXLANPort = 0x1000\n")
    node = Source("FelixConfiguration node.n1", {"VXLANPort": "5000", "LogPrefix": "mine"})
    default = Source(
        "FelixConfiguration default", {"LogPrefix": "other", "InterfacePrefix": "tap,cali"}
    )
    config = merge([environment, file, node, default]).config
    assert config.ipv6_support is False
    assert config.vxlan_port == 4096
    assert config.log_prefix == "mine"
    assert config.interface_prefix == ("tap", "cali")
    assert config.nftables_mark_mask == 0xFFFF0000


def test_local_parameters_are_not_read_from_the_datastore():
    merged = merge([Source("FelixConfiguration default", {"FelixHostname": "evil"})])
    assert merged.config.felix_hostname == ""


def test_a_file_without_sections():
    assert file_source("f", "LogPrefix = a\n").values == {"LogPrefix": "a"}
    with pytest.raises(ValueError, match=r"felix\.cfg"):
        file_source("felix.cfg", "[global\n!")


@pytest.mark.parametrize(
    ("name", "value", "fatal", "says"),
    [
        ("Ipv6Support", "perhaps", False, "true or false"),
        ("InterfacePrefix", "a-name-that-is-too-long", True, "15 characters"),
        ("NftablesMarkMask", "0x1", True, "two bits"),
        ("HealthPort", "70000", False, "from 0 to 65535"),
        ("DefaultEndpointToHostAction", "Maybe", True, "Drop, Return, Accept"),
        ("RouteRefreshInterval", "soon", False, "seconds"),
        ("NATPortRange", "9:1", False, "min:max"),
    ],
)
def test_bad_values_are_named(name, value, fatal, says):
    merged = merge([Source("environment", {name: value}, local=True)])
    (problem,) = merged.problems
    assert problem.fatal is fatal
    text = str(problem)
    assert name in text
    assert repr(value) in text
    assert says in text
    assert "environment" in text


def test_a_bad_value_hides_a_lower_source():
    sources = [Source("environment", {"VXLANPort": "x"}, True), Source("d", {"VXLANPort": "5000"})]
    assert merge(sources).config.vxlan_port == 4789


def test_says_what_changes_nothing():
    assert merge([Source("environment", {"BPFEnabled": "true"}, True)]).not_acted_on == (
        "BPFEnabled",
    )
