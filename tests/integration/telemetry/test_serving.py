"""The server of metrics and health, over real sockets on the loopback."""

import socket
import ssl
import subprocess
import urllib.error
import urllib.request

import pytest

from calico.telemetry.health import Health, Report
from calico.telemetry.metrics import CONTENT_TYPE, Metrics
from calico.telemetry.serving import Answer, Serving, TlsFiles


@pytest.fixture
def serve():
    servings = []

    def start(pages, host="localhost", port=0, tls=None):
        serving = Serving(host, port, pages, tls)
        servings.append(serving)
        serving.start()
        return serving

    yield start
    for serving in servings:
        serving.close()


def get(port, path, **arguments):
    scheme = "https" if arguments else "http"
    try:
        url = f"{scheme}://localhost:{port}{path}"
        answer = urllib.request.urlopen(url, timeout=5, **arguments)  # noqa: S310
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers["Content-Type"]
    with answer:
        return answer.status, answer.read().decode(), answer.headers["Content-Type"]


def test_health_over_http(serve):
    health = Health()
    health.register("CalculationGraph")
    port = serve(health.pages()).wait_until_listening(5)
    status, text, _ = get(port, "/readiness")
    assert status == 503
    assert "reporting non-ready" in text
    health.report("CalculationGraph", Report(ready=True))
    assert get(port, "/readiness")[0] == 200
    assert get(port, "/liveness?verbose")[0] == 200
    assert get(port, "/other")[0] == 404


def test_metrics_over_http_on_all_addresses(serve):
    metrics = Metrics()
    metrics.set("felix_host", 1, host="n1")
    port = serve(metrics.pages(), host="").wait_until_listening(5)
    status, text, content_type = get(port, "/metrics")
    assert (status, content_type) == (200, CONTENT_TYPE)
    assert 'felix_host{host="n1"} 1' in text
    assert "process_resident_memory_bytes" in text


def test_a_taken_port_is_tried_again(serve):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        serving = serve({"/": lambda: Answer(200, "here")}, port=port)
        assert serving.wait_until_listening(0.2) == 0
    assert serving.wait_until_listening(10) == port
    assert get(port, "/")[1] == "here"


def test_close_gives_the_port_back(serve):
    serving = serve({})
    port = serving.wait_until_listening(5)
    serving.close()
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_closing_what_never_started_is_fine():
    Serving("localhost", 0, {}).close()


def make_certificate(directory):
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(directory / "key"), "-out", str(directory / "certificate")),
        ],
        check=True,
        capture_output=True,
        timeout=20,
    )
    return str(directory / "key"), str(directory / "certificate")


def test_https_asks_for_a_certificate_if_told_to(serve, tmp_path):
    key, certificate = make_certificate(tmp_path)
    pages = {"/": lambda: Answer(200, "here")}
    trusting = ssl.create_default_context(cafile=certificate)
    known = ssl.create_default_context(cafile=certificate)
    known.load_cert_chain(certificate, key)

    open_to_all = serve(pages, tls=TlsFiles(key, certificate, certificate))
    assert get(open_to_all.wait_until_listening(5), "/", context=trusting)[1] == "here"

    strict = TlsFiles(key, certificate, certificate, "RequireAndVerifyClientCert")
    port = serve(pages, tls=strict).wait_until_listening(5)
    assert get(port, "/", context=known)[1] == "here"
    with pytest.raises((OSError, urllib.error.URLError)):
        get(port, "/", context=trusting)
