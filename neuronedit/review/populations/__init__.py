"""The cells that an edit may touch."""
