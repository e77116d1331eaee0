"""A real agent in a namespace, beside a real etcd: start, ask, kill."""

import json
import os
import signal
import sys
import urllib.request
from urllib.error import HTTPError

from calico.core.model.codec import decode
from calico.datastore.etcd import EtcdDatastore
from calico.datastore.initialize import ensure_initialized
from calico.datastore.resources import Resources
from calico.kernel.run import run, spawn
from waiting import wait_until

NODE = "n1"
HEALTH_PORT = 9099
METRICS_PORT = 9091


class Felix:
    """calico-felix as a process of this namespace."""

    def __init__(self, etcd, directory, **environment):
        self.etcd = etcd
        self.log = directory / "felix.log"
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("FELIX_")},
            "ETCD_ENDPOINTS": etcd.url,
            "DATASTORE_TYPE": "etcdv3",
            "FELIX_FELIXHOSTNAME": NODE,
            "FELIX_HEALTHENABLED": "true",
            "FELIX_HEALTHPORT": str(HEALTH_PORT),
            "FELIX_PROMETHEUSMETRICSENABLED": "true",
            "FELIX_PROMETHEUSMETRICSPORT": str(METRICS_PORT),
            **environment,
        }
        self.process = None

    def start(self, *, ready=True):
        self.process = spawn(
            [sys.executable, "-m", "calico.felix.main", "-c", "/nonexistent/felix.cfg"],
            log=self.log,
            environment=self.environment,
        )
        if ready:
            wait_until(lambda: self.ask("readiness")[0] == 200, what="readiness")

    def ask(self, page):
        """Return (status, text) of a health page; status 0 while nobody listens."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{HEALTH_PORT}/{page}", timeout=5
            ) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()
        except OSError:  # URLError is one
            return 0, ""

    def metrics(self):
        with urllib.request.urlopen(
            f"http://127.0.0.1:{METRICS_PORT}/metrics", timeout=5
        ) as answer:
            lines = answer.read().decode().splitlines()
        samples = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.stop()

    def said(self):
        return self.log.read_text() if self.log.exists() else ""


class Cluster:
    """The datastore's side of a test."""

    def __init__(self, etcd):
        self.resources = Resources(EtcdDatastore(etcd.settings))
        ensure_initialized(self.resources)

    def apply(self, kind, name, spec, namespace="", **metadata):
        document = {
            "kind": kind,
            "apiVersion": "projectcalico.org/v3",
            "metadata": {"name": name, "namespace": namespace, **metadata},
            "spec": spec,
        }
        return self.resources.apply(decode(kind, json.dumps(document).encode()))

    def endpoint(self, pod, address, interface, node=NODE, **labels):
        self.apply(
            "WorkloadEndpoint",
            f"{node}-k8s-{pod}-eth0",
            {
                "orchestrator": "k8s", "node": node, "pod": pod, "endpoint": "eth0",
                "ipNetworks": [f"{address}/32"], "profiles": ["open"],
                "interfaceName": interface,
            },
            namespace="default",
            labels=labels,
        )  # fmt: skip

    def close(self):
        self.resources.datastore.close()


def ruleset():
    """List the rules of this namespace, without what counts."""
    document = json.loads(run(["nft", "-j", "list", "ruleset"]))["nftables"]
    return [each for each in document if "metainfo" not in each]


def chains():
    return {each["chain"]["name"] for each in ruleset() if "chain" in each}
