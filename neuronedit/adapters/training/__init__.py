"""Ray Train around the network's own training loop."""
