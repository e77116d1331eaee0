"""The resources of projectcalico.org/v3 and the IPAM records, typed, checked and coded."""
