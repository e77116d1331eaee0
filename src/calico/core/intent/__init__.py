"""What the kernel should hold: the contract between thinking and touching."""
