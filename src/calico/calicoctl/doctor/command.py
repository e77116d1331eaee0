"""calicoctl node doctor: look at everything, print what was found, fail if something is wrong.

agent's environment, datastore, machine --> facts --> findings --> list or JSON, exit 1
"""

import argparse
import os
import sys
from collections.abc import Sequence
from ipaddress import ip_interface

import msgspec

from calico.calicoctl.doctor.cluster import Records, known, peers, read_records
from calico.calicoctl.doctor.diagnosis import machine_findings
from calico.calicoctl.doctor.facts import Finding, Known, Machine
from calico.calicoctl.doctor.machine import gather, name_of_node, read_agent_environment
from calico.calicoctl.doctor.peers import peer_findings
from calico.calicoctl.doctor.probes import probed
from calico.calicoctl.errors import CommandError
from calico.calicoctl.store import open_resources
from calico.datastore.client import DatastoreError

_WORDS = {"ok": "ok", "note": "note", "warning": "warning", "error": "WRONG"}


def run(arguments: argparse.Namespace) -> None:
    """Diagnose. Raises CommandError if this is not root; ends with 1 if something is wrong."""
    if os.geteuid() != 0:
        raise CommandError(
            "calicoctl node doctor sends raw packets and reads rules: run it as root"
        )
    environment = read_agent_environment()
    node = name_of_node(environment or {})
    records, trouble = _records(arguments, node)
    facts = known(records, trouble)
    machine = gather(environment, facts.health)
    findings = [*machine_findings(machine, facts), *_of_peers(machine, records, facts)]
    if arguments.output == "json":
        print(msgspec.json.format(msgspec.json.encode(findings)).decode())
    else:
        print(render(node, findings))
    sys.stdout.flush()
    if any(finding.severity == "error" for finding in findings):
        sys.exit(1)


def _records(arguments: argparse.Namespace, node: str) -> tuple[Records, str]:
    try:
        resources = open_resources(arguments)
        try:
            return read_records(resources, node), ""
        finally:
            resources.datastore.close()
    except (CommandError, DatastoreError) as error:
        return Records(node), str(error)


def _of_peers(machine: Machine, records: Records, facts: Known) -> list[Finding]:
    if not machine.bird.is_wanted:
        return []
    local = {str(ip_interface(a).ip) for one in machine.interfaces for a in one.addresses}
    own = {v: text.partition("/")[0] for v, text in facts.own.items()}
    usable = {version: address for version, address in own.items() if address in local}
    found = probed(peers(records, machine.bird.sessions, machine.pod_mtu_bytes), usable)
    answers = not machine.bird.trouble
    return [one for peer in found for one in peer_findings(peer, bird_answers=answers)]


def render(node: str, findings: Sequence[Finding]) -> str:
    """Lay the findings out, each fix below its cause, and a last line that sums up."""
    width = max((len(finding.what) for finding in findings), default=0)
    lines = []
    for finding in findings:
        lines.append(f"{_WORDS[finding.severity]:8}{finding.what:{width}}  {finding.why}")
        blank = " " * (8 + width + 2)
        lines += [f"{blank}{detail}" for detail in finding.details]
        if finding.fix:
            lines.append(f"{blank}fix: {finding.fix}")
    wrong = sum(finding.severity == "error" for finding in findings)
    lines += ["", f"{node}: {wrong} wrong" if wrong else f"{node}: nothing is wrong"]
    return "\n".join(lines)
