"""The problems of the review's checks: populations of the planted network, and networks trained on the same cells."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from neuronedit.autoencoder import Autoencoder
from neuronedit.model import EditModel
from neuronedit.review.conductance import Conductance, edit_conductance
from neuronedit.review.ladder import Ladder, activation_ladder
from neuronedit.review.neurons import Neurons
from neuronedit.review.prior import CodePrior

from .planted import (
    N_TYPES,
    SHIFT,
    TYPES,
    UNSEEN_TYPES,
    PlantedCells,
    planted_cells,
    planted_model,
    planted_neurons,
)
from .planted_training import trained_autoencoder, trained_neurons

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
    def planted(self) -> Neurons:
        """The planted edit, as its neurons see it."""
        source, target = (cells.labelled for cells in self.cells)
        return Neurons.from_model(self.model, "pair", source, target)

    @cached_property
    def conductance(self) -> Conductance:
        """The conductance of the planted edit."""
        return edit_conductance(self.planted)

    @cached_property
    def trained(self) -> Neurons:
        """The same programs in a small network that was trained."""
        return trained_neurons()

    @cached_property
    def trained_conductance(self) -> Conductance:
        """The conductance of the trained network's edit."""
        return edit_conductance(self.trained)

    @property
    def edits(self) -> dict[str, Neurons]:
        """The planted and the trained edit, by name."""
        return {"planted": self.planted, "trained": self.trained}

    @cached_property
    def priors(self) -> dict[str, CodePrior]:
        """The likely activations of both edits."""
        return {
            name: CodePrior.fit(np.concatenate([edit.source.activations, edit.target.activations]), seed=0)
            for name, edit in self.edits.items()
        }

    @cached_property
    def ladders(self) -> dict[str, Ladder]:
        """The activation ladders of both edits."""
        return {name: activation_ladder(edit, self.priors[name], seed=0) for name, edit in self.edits.items()}

    @cached_property
    def refits(self) -> list[Autoencoder]:
        """The trained network twice more, from other seeds."""
        return [trained_autoencoder(seed=seed) for seed in REFIT_SEEDS]

    @cached_property
    def confounded(self) -> Neurons:
        """The planted edit, fitted to a target of another mix."""
        return planted_neurons(target_mix=SKEWED)

    @cached_property
    def donors(self) -> Neurons:
        """The planted edit of cells whose donors differ in one marker."""
        return planted_neurons(donor_gap=0.2)

    @cached_property
    def by_type(self) -> dict[str, np.ndarray]:
        """Standardised events that no network was trained on: of types that it was trained on, and of others."""
        cells = [planted_cells(1_000, 5), planted_cells(1_000, 6, unseen=True)]
        names = TYPES + UNSEEN_TYPES
        return {names[of]: found.markers[found.types == of] for found in cells for of in np.unique(found.types)}
