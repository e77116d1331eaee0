"""The agent: datastore -> core -> reconcilers, on one loop."""
