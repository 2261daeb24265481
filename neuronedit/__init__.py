"""Neuron editing for cytometry: learn a change between two cell populations, apply it to others."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("neuronedit")
except PackageNotFoundError:  # run from a source folder, as a Ray job does
    __version__ = "0.1.0+source"
