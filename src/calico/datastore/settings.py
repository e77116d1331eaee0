"""Where the datastore is, and how to be let in: from a file, or from the environment.

    calicoctl.cfg (YAML, strict) --+
    or                             +--> datastore_settings --> Settings --> open_datastore
    ETCD_ENDPOINTS, CALICO_... ----+           pure
    overrides (Felix's own) -------+

A file that is used hides the environment altogether; overrides win over both. A variable with
the prefix CALICO_ is looked up first, even when it is empty.

Source: shared/spec calicoctl 7b.2; the texts of errors are the ones people know from calicoctl.
"""

import os
from collections.abc import Mapping
from typing import TypeAlias, get_args

from msgspec import Struct
from msgspec.structs import FieldInfo, fields

from calico.datastore.client import Datastore, DatastoreError

API_VERSION = "projectcalico.org/v3"
KIND = "CalicoAPIConfig"

Scalar: TypeAlias = str | bool | int | float
Values: TypeAlias = Mapping[str, object]  # spec key -> what was written there


class SettingsError(DatastoreError):
    """The settings are wrong in a way that only whoever wrote them can mend."""


class Settings(Struct, frozen=True, rename="camel"):
    """One CalicoAPIConfig. Empty text means "not given"; field names are the file's, in snake."""

    datastore_type: str = ""
    etcd_endpoints: str = ""
    etcd_discovery_srv: str = ""
    etcd_username: str = ""
    etcd_password: str = ""
    etcd_key_file: str = ""
    etcd_cert_file: str = ""
    etcd_ca_cert_file: str = ""
    etcd_key: str = ""
    etcd_cert: str = ""
    etcd_ca_cert: str = ""
    kubeconfig: str = ""
    kubeconfig_inline: str = ""
    k8s_api_endpoint: str = ""
    k8s_key_file: str = ""
    k8s_cert_file: str = ""
    k8s_ca_file: str = ""
    k8s_api_token: str = ""
    k8s_insecure_skip_tls_verify: bool = False
    k8s_disable_node_poll: bool = False
    use_pod_cidr: bool = False
    k8s_client_qps: float = 0.0
    k8s_client_burst: int = 0
    k8s_current_context: str = ""
    calico_api_group: str = ""

    def __repr__(self) -> str:
        # Settings end up in logs and error texts: never with a password or a key.
        return f"Settings({self.datastore_type or 'unknown'}, {self.etcd_endpoints!r})"

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The etcd endpoints, one URL each."""
        return tuple(url.strip() for url in self.etcd_endpoints.split(",") if url.strip())


_FIELDS: Mapping[str, FieldInfo] = {field.name: field for field in fields(Settings)}

# Where camel case does not give the file's spelling.
_SPELLING = {
    "etcd_ca_cert_file": "etcdCACertFile",
    "etcd_ca_cert": "etcdCACert",
    "k8s_api_endpoint": "k8sAPIEndpoint",
    "k8s_ca_file": "k8sCAFile",
    "k8s_api_token": "k8sAPIToken",
    "k8s_insecure_skip_tls_verify": "k8sInsecureSkipTLSVerify",
    "use_pod_cidr": "usePodCIDR",
    "k8s_client_qps": "k8sClientQPS",
    "calico_api_group": "calicoAPIGroup",
}
_FILE_KEYS = {_SPELLING.get(name, field.encode_name): name for name, field in _FIELDS.items()}
_FILE_ONLY = {"etcd_key", "etcd_cert", "etcd_ca_cert", "kubeconfig_inline"}  # never in environments
_METADATA_KEYS = {
    *("name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation"),
    *("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "labels"),
    *("annotations", "ownerReferences", "finalizers", "managedFields"),
}


def datastore_settings(
    environment: Mapping[str, str],
    file_text: str | None = None,
    overrides: Mapping[str, str] | None = None,
    file_name: str = "",
) -> Settings:
    """Merge the sources. `overrides` are spec keys as the file spells them.

    Raises SettingsError, with calicoctl's words.
    """
    if file_text is None:
        found = _from_environment(environment)
    else:
        try:
            found = _from_file(file_text)
        except SettingsError as error:
            raise SettingsError(f"syntax error in {file_name}: {error}") from error
    for key, text in (overrides or {}).items():
        found[_FILE_KEYS[key]] = _value(_FILE_KEYS[key], text)
    if not found.get("datastore_type"):
        found["datastore_type"] = "etcdv3" if found.get("etcd_endpoints") else "kubernetes"
    return Settings(**found)  # type: ignore[arg-type]  # _value has made each its field's type


def _from_environment(environment: Mapping[str, str]) -> dict[str, Scalar]:
    found: dict[str, Scalar] = {}
    for name in _FIELDS.keys() - _FILE_ONLY:
        plain = name.upper()
        prefixed = "CALICO_K8SAPITOKEN" if name == "k8s_api_token" else f"CALICO_{plain}"
        alternatives = (prefixed,) if name == "k8s_api_token" else (prefixed, plain)
        variable = next((v for v in alternatives if v in environment), None)
        if variable is None:
            continue
        try:
            found[name] = _value(name, environment[variable])
        except SettingsError as error:
            raise SettingsError(
                f"failed to load config from env vars: {variable}: {error}"
            ) from error
    return found


def _from_file(text: str) -> dict[str, Scalar]:
    document = _mapping(_parsed(text), "the file")
    _refuse_unknown(document, {"apiVersion", "kind", "metadata", "spec"})
    _refuse_unknown(_mapping(document.get("metadata"), "metadata"), _METADATA_KEYS)
    if (version := str(document.get("apiVersion") or "")) != API_VERSION:
        raise SettingsError(f"invalid config file: unknown APIVersion '{version}'")
    if (kind := str(document.get("kind") or "")) != KIND:
        raise SettingsError(f"invalid config file: expected kind '{KIND}', got '{kind}'")
    spec = _mapping(document.get("spec"), "spec")
    _refuse_unknown(spec, _FILE_KEYS)
    try:
        return {_FILE_KEYS[k]: _value(_FILE_KEYS[k], v) for k, v in spec.items() if v is not None}
    except SettingsError as error:
        raise SettingsError(f"failed to parse config as YAML/JSON: {error}") from error


def _parsed(text: str) -> object:
    """Read YAML that refuses a key written twice, and leaves dates alone."""
    import yaml  # noqa: PLC0415  # 1.5 MB and 10 ms that only who has a file need spend

    class NoDuplicates(yaml.SafeLoader):
        def construct_mapping(
            self, node: yaml.MappingNode, deep: bool = False
        ) -> dict[object, object]:
            seen: set[object] = set()
            for key_node, _ in node.value:
                if (key := self.construct_object(key_node, deep=True)) in seen:
                    line = key_node.start_mark.line + 1
                    raise SettingsError(f'line {line}: key "{key}" already set in map')
                seen.add(key)
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader=NoDuplicates)  # noqa: S506  # a SafeLoader
    except (yaml.YAMLError, SettingsError) as error:
        raise SettingsError(f"failed to parse config as YAML/JSON: {error}") from error


def _mapping(value: object, what: str) -> Values:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SettingsError(f"failed to parse config as YAML/JSON: {what} must be a mapping")
    return value


def _refuse_unknown(found: Values, known: Mapping[str, str] | set[str]) -> None:
    for key in found:
        if key not in known:
            raise SettingsError(
                "failed to parse config as YAML/JSON: error unmarshaling JSON: "
                f'while decoding JSON: json: unknown field "{key}"'
            )


_WORDS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


def _value(name: str, written: object) -> Scalar:
    """Give what was written the type of its field."""
    wanted = _FIELDS[name].type
    if not isinstance(written, get_args(Scalar)):
        raise SettingsError(f"{name}: '{written}' is not text, a number or a truth value")
    text = {True: "true", False: "false"}[written] if isinstance(written, bool) else str(written)
    if wanted is str:
        return text
    try:
        return _WORDS[text] if wanted is bool else int(text) if wanted is int else float(text)
    except (KeyError, ValueError) as error:
        raise SettingsError(f"converting '{text}' to type {wanted.__name__}") from error


def open_datastore(settings: Settings, deadline_seconds: float = 10.0) -> Datastore:
    """Give the client for these settings. Nothing is asked of the datastore yet.

    No call lasts longer than `deadline_seconds`.

    Raises SettingsError.
    """
    if settings.datastore_type == "kubernetes":
        raise SettingsError(
            "the Kubernetes datastore is not supported yet: set ETCD_ENDPOINTS (and DATASTORE_TYPE"
            "=etcdv3, if it is set), or write etcdEndpoints into the configuration file"
        )
    if settings.datastore_type != "etcdv3":
        raise SettingsError(f"unknown datastore type: {settings.datastore_type}")
    # What gRPC would print on stderr by itself, our errors say in plain words
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # grpcio takes a tenth of a second to import: only whoever opens a datastore pays it
    from calico.datastore.etcd import EtcdDatastore  # noqa: PLC0415

    return EtcdDatastore(settings, deadline_seconds)
