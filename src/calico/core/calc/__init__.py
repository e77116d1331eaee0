"""Resources -> intent: each answer a plain definition and a view that maintains it."""
