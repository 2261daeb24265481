"""The mix of kinds of cell in source and target, and how it is made the same."""
