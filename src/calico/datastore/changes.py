"""What every datastore demands of a commit, whoever stores it."""

from collections.abc import Sequence

from calico.datastore.client import Change, Unwritten

MAX_CHANGES = 128  # etcd's own limit on the operations of a transaction


def check_changes(changes: Sequence[Change]) -> None:
    """Die if a caller hands over what no datastore accepts: nothing, too much, a path twice."""
    if not 1 <= len(changes) <= MAX_CHANGES:
        raise AssertionError(f"{len(changes)} changes in one commit")
    paths = [change.path for change in changes if not isinstance(change, Unwritten)]
    if len(set(paths)) < len(paths):
        raise AssertionError("a path twice in one commit")
