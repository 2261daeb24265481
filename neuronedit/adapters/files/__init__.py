"""Storages and file formats."""
