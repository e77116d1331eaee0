"""Names, labels and annotations: what Kubernetes and Calico allow.

    label name   [a-z0-9] and "-"            a tier, a part of a policy's name
    subdomain    label names joined by "."   every other resource
    qualified    prefix/Name_1               keys of labels and annotations

Source: k8s.io/apimachinery util/validation; libcalico-go/lib/validator/v3; policy-semantics 3.9.
"""

import re
from collections.abc import Iterator, Mapping

from calico.core.model.constraints import Check, problem, text_like
from calico.core.model.metadata import Metadata
from calico.core.model.problem import Problem

LABEL_NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN = rf"{LABEL_NAME}(\.{LABEL_NAME})*"
POLICY = rf"{LABEL_NAME}(\.{LABEL_NAME})?"
LONGEST_NAME = 253
LONGEST_LABEL = 63
MOST_ANNOTATION_BYTES = 256 * 1024
WORD = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]\Z")

SUBDOMAIN_TEXT = (
    "lower case letters, digits, '-' and '.', starting and ending with a letter or digit"
)
LABEL_TEXT = "lower case letters, digits and '-', starting and ending with a letter or digit"
dns_name: Check = text_like(SUBDOMAIN, SUBDOMAIN_TEXT)
tier_name: Check = text_like(LABEL_NAME, LABEL_TEXT)
global_policy_name: Check = text_like(POLICY, f"{LABEL_TEXT}, with at most one '.' inside")
policy_name: Check = text_like(
    rf"{POLICY}|(knp|ossg)\.default\.{SUBDOMAIN}",
    f"{LABEL_TEXT}, with at most one '.' inside",
)
interface_name: Check = text_like(
    r"\*|[a-zA-Z0-9_.-]{1,15}", "an interface name of at most 15 characters, or *"
)


def metadata(
    part: Metadata, name: Check = dns_name, longest: int = LONGEST_NAME
) -> Iterator[Problem]:
    """Check the names that every resource carries."""
    if not part.name:
        yield from problem("metadata.name", "", "is required")
    else:
        yield from name("metadata.name", part.name)
    if len(part.name) > longest:
        yield from problem("metadata.name", part.name, f"must have at most {longest} characters")
    yield from labels("metadata.labels", part.labels)
    yield from annotations("metadata.annotations", part.annotations)


def labels(path: str, value: object) -> Iterator[Problem]:
    """Check the keys and values of labels."""
    if not isinstance(value, Mapping):
        return
    for key, text in value.items():
        yield from qualified_name(path, key)
        if text and (len(text) > LONGEST_LABEL or not WORD.match(text)):
            yield from problem(
                f"{path}.{key}", text, f"a label value must be {WORD_TEXT}, or empty"
            )


def annotations(path: str, value: object) -> Iterator[Problem]:
    """Check the keys of annotations, and their size."""
    if not isinstance(value, Mapping):
        return
    size = 0
    for key, text in value.items():
        yield from qualified_name(path, key.lower())
        size += len(key.encode()) + len(text.encode())
    if size > MOST_ANNOTATION_BYTES:
        excess = size - MOST_ANNOTATION_BYTES
        yield from problem(path, f"{size} bytes", f"is too large by {excess} bytes")


WORD_TEXT = (
    f"at most {LONGEST_LABEL} letters, digits, '-', '_' and '.', "
    "starting and ending with a letter or digit"
)


def qualified_name(path: str, key: str) -> Iterator[Problem]:
    """Check a key of a label or annotation: a name, perhaps after a DNS prefix and "/"."""
    prefix, slash, name = key.rpartition("/")
    if len(name) > LONGEST_LABEL or not WORD.match(name):
        yield from problem(path, key, f"the key's name must be {WORD_TEXT}")
    if slash and (len(prefix) > LONGEST_NAME or not re.match(rf"({SUBDOMAIN})\Z", prefix)):
        yield from problem(path, key, f"the part before '/' must be {SUBDOMAIN_TEXT}")
