"""Seeded draws from datasets."""
