"""The CNI plugins: a thin client, and the agent's service that does the work."""
