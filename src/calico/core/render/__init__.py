"""Intent -> rule sets, routes and BIRD configuration, as values and text."""
