"""The model review: what an edit has learned, how well it does, and where it may be trusted."""
