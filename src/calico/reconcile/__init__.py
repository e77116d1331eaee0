"""Make the kernel match the intent: read back, plan, apply only what differs."""
