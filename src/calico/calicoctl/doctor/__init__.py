"""calicoctl node doctor: what is wrong with this node's network, why, and how to mend it."""
