"""Measured cells, before any learning: panel, scaling, populations and how they are drawn."""
