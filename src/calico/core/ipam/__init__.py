"""Which address, from which block, of which pool: decisions without I/O."""
