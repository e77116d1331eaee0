import pytest

from calico.calicoctl.messages import VERBS, Outcome, failure, success


def outcome(verb, kinds, total, done, *errors):
    return Outcome(VERBS[verb], kinds, total, done, errors)


@pytest.mark.parametrize(
    ("result", "out", "err"),
    [
        (
            outcome("create", {"IPPool"}, 3, 3),
            "Successfully created 3 'IPPool' resource(s)\n",
            None,
        ),
        (outcome("apply", {"IPPool", "Node"}, 2, 2), "Successfully applied 2 resource(s)\n", None),
        (
            outcome("create", {"IPPool"}, 1, 0, "no"),
            "",
            "failed to create 'IPPool' resource: [no]",
        ),
        (
            outcome("create", {"IPPool"}, 2, 0, "no", "nor"),
            "",
            "failed to create any 'IPPool' resources: [no nor]",
        ),
        (
            outcome("apply", {"IPPool", "Node"}, 3, 2, "no"),
            "Partial success: applied the first 2 out of 3 resources:\n",
            "hit error: [no]",
        ),
        (
            outcome("delete", {"IPPool"}, 2, 1, "gone"),
            "Successfully deleted 1 'IPPool' resource(s)\n",
            "Failed to delete 'IPPool' resource: gone",
        ),
        (
            outcome("delete", {"IPPool"}, 1, 0, "gone"),
            "",
            "Failed to delete 'IPPool' resource: gone",
        ),
    ],
)
def test_words(result, out, err):
    assert success(result) == out
    if err is not None:
        assert failure(result) == err
