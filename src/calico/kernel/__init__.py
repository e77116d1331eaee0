"""One adapter per kernel subsystem; the only code that speaks netlink or starts programs."""
