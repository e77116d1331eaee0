import math

import pytest
from prometheus_client.parser import text_string_to_metric_families

from calico.telemetry.known_metrics import KNOWN
from calico.telemetry.metrics import MOST_SAMPLES, Metrics


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def metrics(clock):
    return Metrics(process_metrics=False, now=clock)


def test_nothing_is_exported_that_nobody_filled(metrics):
    assert metrics.exposition() == ""


def test_names_are_exactly_felix(metrics):
    metrics.count("felix_int_dataplane_failures")
    metrics.count("felix_int_dataplane_failures", 2)
    metrics.set("felix_resync_state", 3)
    metrics.set("felix_nft_chains", 7, ip_version="4")
    metrics.set("felix_nft_chains", 8, ip_version="6")
    assert metrics.exposition() == (
        "# HELP felix_int_dataplane_failures Turns in which something was refused.\n"
        "# TYPE felix_int_dataplane_failures counter\n"
        "felix_int_dataplane_failures 3\n"
        "# HELP felix_nft_chains Chains in our table.\n"
        "# TYPE felix_nft_chains gauge\n"
        'felix_nft_chains{ip_version="4"} 7\n'
        'felix_nft_chains{ip_version="6"} 8\n'
        "# HELP felix_resync_state 1: waiting for the datastore, 2: reading, 3: in sync\n"
        "# TYPE felix_resync_state gauge\n"
        "felix_resync_state 3\n"
    )


def test_summaries_have_quantiles_over_ten_minutes(metrics, clock):
    name = "felix_int_dataplane_apply_time_seconds"
    for number in range(101):
        metrics.observe(name, number / 100)
    text = metrics.exposition()
    for line in ('{quantile="0.5"} 0.5', '{quantile="0.99"} 0.99', "_sum 50.5", "_count 101"):
        assert f"{name}{line}\n" in text
    clock.now = 700.0
    text = metrics.exposition()
    assert f'{name}{{quantile="0.9"}} NaN\n' in text
    assert f"{name}_count 101\n" in text
    metrics.observe(name, 2.0)
    assert f'{name}{{quantile="0.9"}} 2\n' in metrics.exposition()


def test_memory_of_a_summary_is_bounded(metrics):
    for number in range(3 * MOST_SAMPLES):
        metrics.observe("felix_int_dataplane_msg_batch_size", number)
    (found,) = metrics._summaries["felix_int_dataplane_msg_batch_size"].values()
    assert len(found._intervals[0].values) == MOST_SAMPLES
    assert found.count == 3 * MOST_SAMPLES


@pytest.mark.parametrize(
    ("method", "name", "labels", "error"),
    [
        ("count", "felix_no_such_thing", {}, KeyError),
        ("set", "felix_int_dataplane_failures", {}, AssertionError),
        ("set", "felix_nft_chains", {}, AssertionError),
        ("set", "felix_resync_state", {"ip_version": "4"}, AssertionError),
    ],
)
def test_another_name_type_or_label_is_a_mistake(metrics, method, name, labels, error):
    with pytest.raises(error):
        getattr(metrics, method)(name, 1, **labels)


def test_every_known_metric_can_be_read_by_prometheus():
    metrics = Metrics()
    for known in KNOWN.values():
        write = {"counter": metrics.count, "gauge": metrics.set, "summary": metrics.observe}
        write[known.kind](known.name, 1.5, **dict.fromkeys(known.labels, 'a "quoted\\" \n label'))
    families = list(text_string_to_metric_families(metrics.exposition()))
    samples = {sample.name: sample for family in families for sample in family.samples}
    for known in KNOWN.values():  # this parser, not Prometheus, wants "_total" on counters
        assert {known.name, f"{known.name}_total"} & samples.keys(), known.name
    assert samples["felix_host"].labels == {"host": 'a "quoted\\" \n label'}
    assert not math.isnan(samples["process_cpu_seconds_total"].value)


def test_whole_numbers_are_observed_too():
    metrics = Metrics(process_metrics=False)
    metrics.observe("felix_int_dataplane_msg_batch_size", 3)
    assert 'felix_int_dataplane_msg_batch_size{quantile="0.5"} 3\n' in metrics.exposition()
