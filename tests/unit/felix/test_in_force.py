import threading

from calico.core.intent.keys import EndpointKey
from calico.felix.in_force import InForce
from calico.felix.inbox import Inbox

WEB = EndpointKey("k8s", "shop/web", "eth0")


def test_waits_for_the_revision():
    in_force = InForce()
    in_force.set_applied({WEB: 4}, ())
    assert in_force.wait_until_in_force(WEB, 4, 0) is None
    assert "not after 0 s" in in_force.wait_until_in_force(WEB, 5, 0)
    waiter = threading.Timer(0.02, in_force.set_applied, ({WEB: 6}, ()))
    waiter.start()
    assert in_force.wait_until_in_force(WEB, 5, 10) is None
    waiter.join()


def test_says_why_not():
    in_force = InForce()
    assert "datastore" in in_force.wait_until_in_force(WEB, 1, 0)
    in_force.set_blocked("")
    in_force.set_refused({WEB: "chain too long"})
    assert "chain too long" in in_force.wait_until_in_force(WEB, 1, 0)


def test_nothing_is_gone_before_the_first_apply():
    in_force = InForce()
    assert in_force.wait_until_gone(WEB, 0) is not None
    in_force.set_applied({WEB: 1}, ())
    assert in_force.wait_until_gone(WEB, 0) is not None
    in_force.set_applied({}, [WEB])
    assert in_force.wait_until_gone(WEB, 0) is None


def test_inbox_keeps_the_latest_and_is_taken_whole():
    inbox = Inbox()
    inbox.put({"a": 1, "b": 1})
    inbox.put({"a": 2})
    assert inbox.take(0) == {"a": 2, "b": 1}
    assert inbox.take(0) == {}
