"""One node: start-up, supervision of BIRD and the agent."""
