"""Questions about policy: verdicts, matrices, and why."""
