import pytest

from calico.datastore.settings import (
    Settings,
    SettingsError,
    datastore_settings,
    open_datastore,
)

HEAD = "apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\nmetadata:\n"


def test_from_the_environment():
    settings = datastore_settings(
        {
            "DATASTORE_TYPE": "etcdv3",
            "ETCD_ENDPOINTS": "https://a:2379, https://b:2379",
            "ETCD_USERNAME": "u",
            "ETCD_CA_CERT_FILE": "/ca",
            "ETCD_KEY": "never taken from an environment",
            "USE_POD_CIDR": "true",
            "K8S_CLIENT_QPS": "1.5",
        }
    )
    assert settings.endpoints == ("https://a:2379", "https://b:2379")
    assert (settings.etcd_username, settings.etcd_ca_cert_file) == ("u", "/ca")
    assert settings.etcd_key == ""
    assert settings.use_pod_cidr is True
    assert settings.k8s_client_qps == 1.5


def test_the_prefix_wins_even_when_empty():
    environment = {"CALICO_ETCD_ENDPOINTS": "http://a:1", "ETCD_ENDPOINTS": "http://b:1"}
    assert datastore_settings(environment).etcd_endpoints == "http://a:1"
    environment["CALICO_ETCD_ENDPOINTS"] = ""
    assert datastore_settings(environment).etcd_endpoints == ""


def test_the_token_has_only_an_odd_name():
    assert datastore_settings({"K8S_API_TOKEN": "t"}).k8s_api_token == ""
    assert datastore_settings({"CALICO_K8SAPITOKEN": "t"}).k8s_api_token == "t"  # noqa: S105


@pytest.mark.parametrize(
    ("environment", "kind"),
    [
        ({}, "kubernetes"),
        ({"ETCD_ENDPOINTS": "http://a"}, "etcdv3"),
        ({"ETCD_DISCOVERY_SRV": "example.com"}, "kubernetes"),
        ({"DATASTORE_TYPE": "kubernetes", "ETCD_ENDPOINTS": "http://a"}, "kubernetes"),
    ],
)
def test_the_kind_is_guessed_from_the_endpoints(environment, kind):
    assert datastore_settings(environment).datastore_type == kind


def test_a_variable_of_the_wrong_type():
    with pytest.raises(SettingsError) as caught:
        datastore_settings({"K8S_DISABLE_NODE_POLL": "maybe"})
    assert str(caught.value) == (
        "failed to load config from env vars: K8S_DISABLE_NODE_POLL: "
        "converting 'maybe' to type bool"
    )


def test_a_file_hides_the_environment():
    text = HEAD + (
        "spec:\n  etcdEndpoints: http://a:1\n  etcdPassword: 1234\n  etcdCACert: pem\n"
        "  k8sInsecureSkipTLSVerify: true\n  k8sClientBurst: 7\n"
    )
    settings = datastore_settings({"ETCD_USERNAME": "u", "ETCD_ENDPOINTS": "http://b:1"}, text)
    assert settings == Settings(
        datastore_type="etcdv3",
        etcd_endpoints="http://a:1",
        etcd_password="1234",  # noqa: S106
        etcd_ca_cert="pem",
        k8s_insecure_skip_tls_verify=True,
        k8s_client_burst=7,
    )


def test_json_is_yaml():
    text = (
        '{"apiVersion": "projectcalico.org/v3", "kind": "CalicoAPIConfig", '
        '"metadata": {"creationTimestamp": null}, "spec": {"datastoreType": "etcdv3"}}'
    )
    assert datastore_settings({}, text).datastore_type == "etcdv3"


def test_overrides_win():
    text = HEAD + "spec:\n  etcdEndpoints: http://a:1\n"
    assert datastore_settings({}, text, {"etcdEndpoints": "http://c:1"}).endpoints == (
        "http://c:1",
    )


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            HEAD + "spec:\n  etcdEndpoint: a\n",
            (
                "failed to parse config as YAML/JSON: error unmarshaling JSON: "
                'while decoding JSON: json: unknown field "etcdEndpoint"'
            ),
        ),
        (
            "apiVersion: v1\nkind: CalicoAPIConfig\n",
            "invalid config file: unknown APIVersion 'v1'",
        ),
        ("{}", "invalid config file: unknown APIVersion ''"),
        ("", "invalid config file: unknown APIVersion ''"),
        (
            "apiVersion: projectcalico.org/v3\nkind: Node\n",
            "invalid config file: expected kind 'CalicoAPIConfig', got 'Node'",
        ),
        (
            HEAD + "spec:\n  kubeconfig: a\n  kubeconfig: b\n",
            'failed to parse config as YAML/JSON: line 6: key "kubeconfig" already set in map',
        ),
        ("[]", "failed to parse config as YAML/JSON: the file must be a mapping"),
        (
            HEAD + "spec:\n  usePodCIDR: perhaps\n",
            "failed to parse config as YAML/JSON: converting 'perhaps' to type bool",
        ),
    ],
)
def test_a_bad_file(text, error):
    with pytest.raises(SettingsError) as caught:
        datastore_settings({}, text, file_name="/etc/calico/calicoctl.cfg")
    assert str(caught.value) == f"syntax error in /etc/calico/calicoctl.cfg: {error}"


def test_text_that_is_no_yaml():
    with pytest.raises(SettingsError, match="syntax error in f: failed to parse config as YAML"):
        datastore_settings({}, "{", file_name="f")


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        (Settings(datastore_type="sqlite"), "unknown datastore type: sqlite"),
        (Settings(datastore_type="kubernetes"), "the Kubernetes datastore is not supported yet"),
        (Settings(datastore_type="etcdv3"), "no etcd endpoints specified"),
        (
            Settings("etcdv3", etcd_endpoints="http://a", etcd_discovery_srv="b"),
            'options specified, use either "etcdEndpoints" or "etcdDiscoverySrv"',
        ),
        (
            Settings("etcdv3", etcd_endpoints="http://a", etcd_key="k", etcd_cert_file="c"),
            "Cannot mix inline certificate-key and certificate / key files",
        ),
        (Settings("etcdv3", etcd_endpoints="ftp://a"), "must look like http://192.0.2.1:2379"),
        (Settings("etcdv3", etcd_endpoints="http://a:b"), "etcd endpoint 'http://a:b'"),
        (
            Settings("etcdv3", etcd_endpoints="https://a", etcd_ca_cert_file="/none"),
            "could not initialize etcdv3 client: ",
        ),
        (Settings("etcdv3", etcd_endpoints="https://a", etcd_key="k"), "needs its certificate"),
    ],
)
def test_what_cannot_be_opened_says_why(settings, error):
    with pytest.raises(SettingsError) as caught:
        open_datastore(settings)
    assert error in str(caught.value)


def test_secrets_stay_out_of_texts():
    secrets = dict.fromkeys(("etcd_password", "etcd_key", "k8s_api_token"), "hush")
    assert "hush" not in repr(Settings("etcdv3", "http://a", **secrets))
