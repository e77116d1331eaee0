import pytest

from calico.telemetry.health import Health, Report


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def health(clock):
    health = Health(clock)
    health.register("CalculationGraph", 30.0)
    health.register("FelixStartup", reports_live=False)
    return health


def test_nobody_registered_is_well():
    health = Health()
    assert health.is_live
    assert health.is_ready
    assert health.pages()["/readiness"]().status == 204


def test_live_and_not_ready_until_reported(health):
    assert health.is_live
    assert not health.is_ready
    assert health.pages()["/readiness"]().status == 503
    assert health.pages()["/liveness"]().status == 200
    health.report("CalculationGraph", Report(ready=True))
    health.report("FelixStartup", Report(ready=False, detail="waiting for the datastore"))
    assert health.why_not_ready == "FelixStartup: waiting for the datastore"
    health.report("FelixStartup", Report(ready=True))
    assert health.is_ready
    assert health.why_not_ready == ""


def test_silence_beyond_the_timeout_is_bad_whatever_was_said(health, clock):
    for name in ("CalculationGraph", "FelixStartup"):
        health.report(name, Report(ready=True))
    clock.now += 30.0
    assert health.is_ready
    clock.now += 0.1
    assert not health.is_ready
    assert not health.is_live
    assert health.why_not_ready == "CalculationGraph: timed out"
    health.report("CalculationGraph", Report(ready=True))
    assert health.is_live


def test_a_component_can_say_that_it_is_dead(health):
    health.report("CalculationGraph", Report(live=False, ready=True))
    assert not health.is_live


def test_what_is_not_reported_does_not_count(health, clock):
    health.report("FelixStartup", Report(live=False, ready=True))
    assert health.is_live


def test_overrides_change_the_timeout(health, clock):
    health.report("FelixStartup", Report(ready=True))
    health.set_timeouts({"CalculationGraph": 0.0})
    health.report("CalculationGraph", Report(ready=True))
    clock.now += 1_000.0
    assert health.is_ready
    health.set_timeouts({"CalculationGraph": 90.0})
    assert not health.is_ready
    assert "1m30s (override)" in health.table()


def test_the_table_says_who_and_why(health):
    health.report("CalculationGraph", Report(ready=True))
    health.report("FelixStartup", Report(ready=False, detail="etcd is away "))
    rule = "+------------------+---------+----------------+---------------------+---------------+"
    assert health.table().split("\n") == [
        rule,
        "| COMPONENT        | TIMEOUT | LIVENESS       | READINESS           | DETAIL        |",
        rule,
        "| CalculationGraph | 30s     | reporting live | reporting ready     |               |",
        "| FelixStartup     | -       | -              | reporting non-ready | etcd is away  |",
        rule,
    ]
