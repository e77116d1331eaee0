"""The metrics that exist: Felix's names, types and labels, with our own words of help.

A literal table, of what this implementation can fill. Names that Felix has and we do not (eBPF,
flow logs, child processes) are not here, so that nobody exports a zero that means "unknown".

Source: shared/spec monitoring 8.2, 8.3.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple


class Known(NamedTuple):
    """One metric."""

    name: str
    kind: Literal["counter", "gauge", "summary"]
    help: str
    labels: tuple[str, ...] = ()


KNOWN: Mapping[str, Known] = {
    known.name: known
    for known in (
        # the core
        Known("felix_host", "gauge", "1; the label is this node's name.", ("host",)),
        Known("felix_active_local_endpoints", "gauge", "Endpoints of this node."),
        Known("felix_active_local_policies", "gauge", "Policies that apply to them."),
        Known("felix_active_local_selectors", "gauge", "Selectors that their rules use."),
        Known("felix_calc_graph_updates_processed", "counter", "Records taken in.", ("type",)),
        Known("felix_calc_graph_output_events", "counter", "Changes of intent given out."),
        Known("felix_calc_graph_update_time_seconds", "summary", "Time to think, per turn."),
        Known("felix_cluster_num_hosts", "gauge", "Nodes of the cluster."),
        Known("felix_cluster_num_host_endpoints", "gauge", "Host endpoints of the cluster."),
        Known("felix_cluster_num_workload_endpoints", "gauge", "Its workload endpoints."),
        Known("felix_cluster_num_tiers", "gauge", "Its tiers."),
        Known("felix_cluster_num_policies", "gauge", "Its policies."),
        Known("felix_cluster_num_profiles", "gauge", "Its profiles."),
        Known("felix_label_index_num_endpoints", "gauge", "Items that selectors choose from."),
        Known("felix_label_index_num_active_selectors", "gauge", "Selectors.", ("optimized",)),
        # the datastore
        Known(
            "felix_resync_state", "gauge", "1: waiting for the datastore, 2: reading, 3: in sync"
        ),
        Known("felix_resyncs_started", "counter", "How often everything was read."),
        # the kernel
        Known("felix_int_dataplane_failures", "counter", "Turns in which something was refused."),
        Known("felix_int_dataplane_messages", "counter", "Changes of intent, by type.", ("type",)),
        Known("felix_int_dataplane_initial_resync_time_seconds", "gauge", "The first apply."),
        Known("felix_int_dataplane_apply_time_seconds", "summary", "Later applies."),
        Known("felix_int_dataplane_msg_batch_size", "summary", "Changes of intent per turn."),
        Known("felix_int_dataplane_iface_msg_batch_size", "summary", "Interfaces per turn."),
        Known("felix_ipsets_calico", "gauge", "IP sets of ours.", ("ip_version",)),
        Known("felix_ipsets_total", "gauge", "IP sets of ours, of the family applied last."),
        Known("felix_ipset_calls", "counter", "Times that IP sets were changed."),
        Known("felix_ipset_errors", "counter", "Times that the kernel refused it."),
        Known("felix_nft_calls", "counter", "nftables transactions."),
        Known("felix_nft_errors", "counter", "Those that the kernel refused."),
        Known("felix_nft_list_calls", "counter", "Times that our tables were read back."),
        Known("felix_nft_list_errors", "counter", "Times that this failed."),
        Known("felix_nft_chains", "gauge", "Chains in our table.", ("ip_version",)),
        Known("felix_nft_rules", "gauge", "Rules in our table.", ("ip_version",)),
        Known("felix_nft_sets", "gauge", "Sets in our table.", ("ip_version",)),
        Known("felix_nft_set_calls", "counter", "Transactions that changed sets."),
        Known("felix_nft_set_errors", "counter", "Those that the kernel refused."),
        Known("felix_iptables_restore_calls", "counter", "iptables transactions."),
        Known("felix_iptables_restore_errors", "counter", "Those that were refused."),
        Known("felix_iptables_save_calls", "counter", "Times that iptables was read back."),
        Known("felix_iptables_save_errors", "counter", "Times that this failed."),
        Known("felix_iptables_chains", "gauge", "Chains of ours.", ("ip_version", "table")),
        Known("felix_iptables_rules", "gauge", "Rules of ours.", ("ip_version", "table")),
        Known("felix_iptables_lines_executed", "counter", "Lines sent.", ("ip_version", "table")),
        Known("felix_route_table_resync_seconds", "summary", "Time to read all routes back."),
        Known("felix_route_table_num_routes", "gauge", "Routes of ours.", ("table",)),
        Known("felix_route_table_num_ifaces", "gauge", "Interfaces that have some.", ("table",)),
        # ours alone
        Known(
            "calico_foreign_changes_repaired",
            "counter",
            "Rules, sets and routes that somebody else had changed and we put right.",
            ("part",),
        ),
        Known("felix_logs_dropped", "counter", "Log lines lost because the output blocked."),
        Known("felix_log_errors", "counter", "Log lines that could not be written."),
    )
}
