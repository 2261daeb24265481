"""The problems of the review's checks: populations of the planted network, and networks trained on the same cells."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from neuronedit.model.edit_model import EditModel
from neuronedit.network.autoencoder import Autoencoder
from neuronedit.review.neurons.context import ReviewContext
from neuronedit.review.neurons.ladder import Ladder, activation_ladder
from neuronedit.review.subject import EditSubject

from .planted import (
    N_TYPES,
    SHIFT,
    TYPES,
    UNSEEN_TYPES,
    PlantedCells,
    planted_cells,
    planted_model,
    planted_neurons,
    trained_autoencoder,
    trained_context,
)

SKEWED = np.r_[0.55, np.full(N_TYPES - 1, 0.45 / (N_TYPES - 1))]
"""A mix in which the first type is more than half of all events."""

REFIT_SEEDS = (1, 2)


@dataclass(frozen=True)
class Problems:
    """Each made once, when it is asked for.

    Attributes:
        n_events: Events of each population of the planted network.
        n_many: Events of each population of the largest confounded edit.
    """

    n_events: int = 10_000
    n_many: int = 20_000

    @cached_property
    def cells(self) -> tuple[PlantedCells, PlantedCells]:
        """Source and target of the planted edit."""
        return planted_cells(self.n_events, 0), planted_cells(self.n_events, 1, shift=SHIFT)

    @cached_property
    def model(self) -> EditModel:
        """The network wired by hand, and its edit of one program."""
        return planted_model(*self.cells)

    @cached_property
    def planted_context(self) -> ReviewContext:
        """The planted edit, ready for the review's parts."""
        source, target = (cells.labelled for cells in self.cells)
        return ReviewContext(EditSubject.from_model(self.model, "pair", source, target), self.model)

    @cached_property
    def trained_context(self) -> ReviewContext:
        """The context of a small trained network with the planted programs, ready for the review's parts."""
        return trained_context()

    @property
    def contexts(self) -> dict[str, ReviewContext]:
        """Both edits, by name."""
        return {"planted": self.planted_context, "trained": self.trained_context}

    @property
    def planted(self) -> EditSubject:
        """The planted edit, as its neurons see it."""
        return self.planted_context.subject

    @property
    def trained(self) -> EditSubject:
        """The trained network's edit, as its neurons see it."""
        return self.trained_context.subject

    @cached_property
    def ladders(self) -> dict[str, Ladder]:
        """The activation ladders of both edits."""
        return {name: activation_ladder(each.subject, each.cells, each.seed) for name, each in self.contexts.items()}

    @cached_property
    def refits(self) -> list[Autoencoder]:
        """The trained network twice more, from other seeds."""
        return [trained_autoencoder(seed=seed) for seed in REFIT_SEEDS]

    @cached_property
    def confounded(self) -> EditSubject:
        """The planted edit, fitted to a target of another mix."""
        return planted_neurons(target_mix=SKEWED)

    @cached_property
    def donors(self) -> EditSubject:
        """The planted edit of cells whose donors differ in one marker."""
        return planted_neurons(donor_gap=0.2)

    @cached_property
    def by_type(self) -> dict[str, np.ndarray]:
        """Standardised events that no network was trained on: of types that it was trained on, and of others."""
        cells = [planted_cells(1_000, 5), planted_cells(1_000, 6, unseen=True)]
        names = TYPES + UNSEEN_TYPES
        return {names[of]: found.markers[found.types == of] for found in cells for of in np.unique(found.types)}
