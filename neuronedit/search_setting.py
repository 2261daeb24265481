"""The combinations of the network's settings that a search tries."""

from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np

from neuronedit.autoencoder import Architecture
from neuronedit.search_config import SearchConfig
from neuronedit.training_plan import TrainingPlan


@dataclass(frozen=True)
class SearchSetting:
    """A network and how it learns."""

    architecture: Architecture
    training: TrainingPlan

    @property
    def searched(self) -> dict[str, Any]:
        """What a search may set, by name, as JSON has it."""
        return {
            "hidden": list(self.architecture.hidden),
            "code": self.architecture.code,
            "weight_decay": self.training.weight_decay,
            "noise": self.training.noise,
        }

    def n_weights(self, n_markers: int) -> int:
        """Weights and biases of the network."""
        hidden = self.architecture.hidden
        widths = [n_markers, *hidden, self.architecture.code, *hidden[::-1], n_markers]
        return sum((n_in + 1) * n_out for n_in, n_out in pairwise(widths))

    def __str__(self) -> str:
        hidden = "-".join(map(str, self.architecture.hidden)) or "none"
        return (
            f"hidden {hidden}, code {self.architecture.code}, weight decay {self.training.weight_decay:g}, "
            f"noise {self.training.noise:g}"
        )


def settings(search: SearchConfig, architecture: Architecture, training: TrainingPlan) -> list[SearchSetting]:
    """The combinations to try, in the order of the grid; what is not searched is as configured."""
    grid = [
        _setting(architecture, training, *combination)
        for combination in product(
            dict.fromkeys(search.hidden or (architecture.hidden,)),
            dict.fromkeys(search.code or (architecture.code,)),
            dict.fromkeys(search.weight_decay or (training.weight_decay,)),
            dict.fromkeys(search.noise or (training.noise,)),
        )
    ]
    if search.trials is None or search.trials >= len(grid):
        return grid
    drawn = np.random.default_rng(training.seed).permutation(len(grid))[: search.trials]
    return [grid[number] for number in sorted(drawn)]


def _setting(
    architecture: Architecture, training: TrainingPlan, hidden: tuple[int, ...], code: int, decay: float, noise: float
) -> SearchSetting:
    network = architecture.model_copy(update={"hidden": hidden, "code": code})
    return SearchSetting(network, training.model_copy(update={"weight_decay": decay, "noise": noise}))
