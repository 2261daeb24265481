"""Whether autoencoders know events that they were not trained on: by how well they reconstruct them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from neuronedit.autoencoder import Autoencoder, tensor
from neuronedit.chunks import CHUNK
from neuronedit.percentiles import FloatArray


@dataclass(frozen=True)
class Familiarity:
    """How well new populations are reconstructed, beside those that the autoencoders were trained on.

    Attributes:
        usual: Mean squared reconstruction error of standardised markers of the populations trained on, of events that
            were held out: those learned from would make every new event look strange.
        new: The same of each new population.
        limit: How many times the usual error a familiar population's may be.
    """

    usual: float
    new: Mapping[str, float]
    limit: float

    @property
    def ratios(self) -> dict[str, float]:
        """By new population, its error in units of the usual one."""
        return {name: error / self.usual if self.usual > 0 else float("inf") for name, error in self.new.items()}

    @property
    def strange(self) -> list[str]:
        """New populations that the autoencoders do not know, the strangest first."""
        ratios = self.ratios
        return sorted((name for name in ratios if ratios[name] > self.limit), key=lambda name: -ratios[name])

    @property
    def sentence(self) -> str:
        """What was found, for a person."""
        ratios = self.ratios
        worst = max(ratios, key=lambda name: ratios[name])
        verdict = "the autoencoder knows such events" if not self.strange else "it has to learn such events"
        return (
            f"reconstruction error of {worst!r} is {ratios[worst]:.2f} times that of the populations trained on "
            f"(limit {self.limit:g}): {verdict}"
        )


def reconstruction_error(autoencoders: Sequence[Autoencoder], markers: FloatArray) -> float:
    """Mean squared error of standardised markers, (n_events, n_markers) float32; the mean over autoencoders."""
    with torch.inference_mode():
        sums = [
            float(torch.nn.functional.mse_loss(autoencoder(chunk), chunk, reduction="sum"))
            for autoencoder in autoencoders
            for chunk in tensor(markers).split(CHUNK)
        ]
    return sum(sums) / (len(autoencoders) * markers.size)
