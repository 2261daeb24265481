"""Evidence about single neurons."""
