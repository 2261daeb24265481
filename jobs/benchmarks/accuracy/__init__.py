"""Distances to measured truth, beside other methods."""
