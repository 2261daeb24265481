"""Two models compared: on the same events, and by their reviews."""
