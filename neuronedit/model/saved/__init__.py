"""A model on disk: its two files, checked and read by format."""
