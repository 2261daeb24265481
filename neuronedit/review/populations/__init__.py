"""Which cells an edit may touch."""
