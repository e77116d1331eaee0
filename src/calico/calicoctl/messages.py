"""What calicoctl says after changing resources.

Source: shared/spec calicoctl 7b.3 "Messages".
"""

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

VERBS: Mapping[str, tuple[str, str]] = {
    "create": ("create", "created"),
    "apply": ("apply", "applied"),
    "replace": ("replace", "replaced"),
    "delete": ("delete", "deleted"),
    "validate": ("validate", "validated"),
}


class Outcome(Struct, frozen=True):
    """What one command did: `done` of `total` resources of these kinds, and the errors."""

    verb: tuple[str, str]
    kinds: Collection[str]
    total: int
    done: int
    errors: Sequence[str]

    @property
    def kind(self) -> str:
        """The kind in quotes with a blank, if there is just one."""
        return f"'{next(iter(self.kinds))}' " if len(self.kinds) == 1 else ""


def success(outcome: Outcome) -> str:
    """Say what was done, if anything worth a line was."""
    past = outcome.verb[1]
    if not outcome.errors or (past == "deleted" and outcome.done):
        return f"Successfully {past} {outcome.done} {outcome.kind}resource(s)\n"
    if past != "deleted" and outcome.done:
        share = f"the first {outcome.done} out of {outcome.total}"
        return f"Partial success: {past} {share} {outcome.kind}resources:\n"
    return ""


def failure(outcome: Outcome) -> str:
    """Say what was not done, and why."""
    verb, past = outcome.verb
    if past == "deleted":
        return "\n".join(
            f"Failed to delete {outcome.kind}resource: {error}" for error in outcome.errors
        )
    listed = f"[{' '.join(outcome.errors)}]"
    if outcome.done:
        return f"hit error: {listed}"
    if outcome.total == 1:
        return f"failed to {verb} {outcome.kind}resource: {listed}"
    return f"failed to {verb} any {outcome.kind}resources: {listed}"
