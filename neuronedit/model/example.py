"""Small models whose every neuron is known, for examples and first tries: no training, ready in milliseconds.

Cells are of four types, from two donors; the treatment adds 1 to each cell's pSTAT1, arcsinh units. The autoencoder is
wired by hand: the neurons 0, 1 and 2 of its code read and write CD3, CD4 and pSTAT1 alone.
"""

from collections.abc import Mapping
from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np
import torch

from neuronedit.arrays import Float32s, Texts
from neuronedit.cells.design import PAIR_EDIT, ControlsDesign, Design, PairDesign
from neuronedit.cells.panel import Panel
from neuronedit.cells.scaling import fit_scaling
from neuronedit.edits.edit import fit_edit
from neuronedit.edits.operators.table import EditStep
from neuronedit.model.edit_model import EditModel
from neuronedit.network.autoencoder import CODE, Architecture, Autoencoder

MARKERS = ("CD3", "CD4", "pSTAT1")

TYPES = {
    "CD4 T": (4.0, 4.0, 2.0),
    "CD8 T": (4.0, 1.0, 2.0),
    "monocyte": (1.0, 4.0, 2.0),
    "B": (1.0, 1.0, 2.0),
}
"""Each type's means of the markers, arcsinh units."""

NOISE = np.array([NormalDist(sigma=0.5).inv_cdf((number + 0.5) / 100) for number in range(100)])
"""The 100 cells of a type around its mean, in a random order in each marker: every draw has the same percentiles."""

TRAINING = {"epochs": 1, "minibatch": 128}
"""The settings by which refits of the model are trained."""


def example_cells(seed: int = 0, treated: float = 0.0) -> Float32s:
    """Draw 400 cells, (400, 3) float32 raw intensities: 100 of each type, the types in turn.

    Args:
        seed: Draws them.
        treated: The rise of pSTAT1, arcsinh units.

    Example:
        >>> control, treated = (np.arcsinh(example_cells(treated=rise) / 5) for rise in (0.0, 1.0))
        >>> (treated - control).mean(axis=0).round(2).tolist()
        [0.0, 0.0, 1.0]
    """
    generator, columns = np.random.default_rng(seed), np.tile(NOISE, (len(MARKERS), 1))
    noise = np.stack([generator.permuted(columns, axis=1).T for _ in TYPES], axis=1)  # (100, n_types, n_markers)
    arcsinh = np.array(list(TYPES.values())) + noise + [0.0, 0.0, treated]
    return (5 * np.sinh(arcsinh)).astype(np.float32).reshape(-1, len(MARKERS))


def example_labels(condition: str = "control") -> dict[str, Texts]:
    """Label the 400 cells by column, (400,) each: type, donor, condition and sample, which is a donor in a condition.

    Example:
        >>> {column: str(labels[0]) for column, labels in example_labels("treated").items()}
        {'type': 'CD4 T', 'donor': 'd1', 'condition': 'treated', 'sample': 'd1 treated'}
    """
    donors = np.repeat(np.tile(np.array(["d1", "d2"], dtype=object), 50), len(TYPES))
    columns = {"type": np.tile(np.array(list(TYPES), dtype=object), len(NOISE)), "donor": donors}
    return columns | {"condition": np.full(400, condition, dtype=object), "sample": donors + f" {condition}"}


@cache
def example_model() -> EditModel:
    """Wire the autoencoder, and fit the one edit, ``pair``, of its code from control to treated cells.

    Example:
        >>> model, cells = example_model(), example_cells(seed=2)
        >>> edited = model.apply(cells, "pair")
        >>> (np.arcsinh(edited / 5) - np.arcsinh(cells / 5)).mean(axis=0).round(1).tolist()
        [0.0, 0.0, 1.0]
    """
    return _wired(PAIR_EDIT, PairDesign.of_arrays(), {"training": TRAINING})


@cache
def example_batches() -> EditModel:
    """Give the network an edit, ``day1``, from a batch that measures pSTAT1 too low by 1 to the reference, ``day2``.

    Example:
        >>> model, cells = example_batches(), np.repeat(example_cells(seed=2), 2, axis=0)
        >>> edited = model.transform(cells, np.tile(["day1", "day2"], 400)).intensities
        >>> (np.arcsinh(edited / 5) - np.arcsinh(cells / 5))[:, 2].reshape(400, 2).mean(axis=0).round(1).tolist()
        [1.0, 0.0]
    """
    facts = {
        "training": TRAINING,
        "populations": {f"control {day}": {"data": "cells/", "sha256": ""} for day in ("day1", "day2")},
        "goal": ["control day2"],
        "sample": {},
        "validation_loss": [0.5],
        "edit": {"preset": "quantile-map"},
    }
    return _wired("day1", ControlsDesign.of_arrays(reference="day2"), facts)


def _wired(name: str, design: Design, facts: Mapping[str, Any]) -> EditModel:
    panel = Panel(MARKERS, (5.0,) * len(MARKERS))
    source, target = example_cells(0), example_cells(1, treated=1.0)
    scaling = fit_scaling([source, target], panel.transforms)
    autoencoder = Autoencoder(panel.n_markers, Architecture(hidden=(), code=panel.n_markers))
    with torch.no_grad():
        for weights in autoencoder.parameters():
            weights.copy_(torch.eye(panel.n_markers) if weights.ndim == 2 else torch.zeros(panel.n_markers))
    networks = (autoencoder.eval().requires_grad_(False),)
    standardised = [scaling.standardise(scaling.transform(cells)) for cells in (source, target)]
    edit = fit_edit(name, networks, (EditStep(layer=CODE),), *standardised, zeros=scaling.zeros)
    return EditModel(panel, scaling, networks, {name: edit}, design, facts)
