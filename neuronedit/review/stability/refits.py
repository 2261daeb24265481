"""Refits: whether autoencoders trained anew, from other seeds, find the same latent space and the same neurons.

Refit consistency on the page: how stable the latent space is, and each neuron.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from neuronedit.arrays import Float32s, Float64s, Masks
from neuronedit.errors import DataError
from neuronedit.measures.moments import rms
from neuronedit.network.autoencoder import Autoencoder
from neuronedit.network.chunks import activations
from neuronedit.review.charts import bar_figure, heatmap_figure
from neuronedit.review.part import Drawing, Part
from neuronedit.review.subject import EditSubject

MIN_REFIT_SPREAD: Final = 1e-6
"""A neuron that moves less, of the layer's root mean square spread, has no match."""


@dataclass(frozen=True)
class Consistency:
    """How far the layers of several autoencoders agree on the same events.

    Attributes:
        r2: (n_fits, n_fits) float64; row i, column j: the share of j's variance that a linear map of i explains on
            events that the map was not fitted on.
        matches: (n_refits, n_neurons) float64: the largest |r| of each neuron of the first fit with any of a refit's;
            NaN where it is dead.
    """

    r2: Float64s
    matches: Float64s

    @property
    def mean_r2(self) -> float:
        """The mean R² over all ordered pairs of two fits."""
        return float(self.r2[~np.eye(len(self.r2), dtype=bool)].mean())

    @property
    def mean_match(self) -> float:
        """The mean best |r| over living neurons and refits; 0 where none is alive."""
        return float(np.nanmean(self.matches)) if np.isfinite(self.matches).any() else 0.0

    def r2_table(self) -> pd.DataFrame:
        """A row for each ordered pair: explained_by, fit, r2. Fit 0 is the model's own."""
        by, of = np.indices(self.r2.shape)
        return pd.DataFrame({"explained_by": by.ravel(), "fit": of.ravel(), "r2": self.r2.ravel()})

    def match_table(self) -> pd.DataFrame:
        """A row for each neuron: neuron, match (mean over refits of the best |r|), lowest (of the refits)."""
        n_refits, n_neurons = self.matches.shape
        return pd.DataFrame(
            {
                "neuron": np.arange(n_neurons),
                "match": self.matches.sum(axis=0) / n_refits,
                "lowest": self.matches.min(axis=0),
            }
        )


def refit_consistency(subject: EditSubject, refits: Sequence[Autoencoder], seed: int) -> Consistency:
    """Compare a model's layer with that of autoencoders trained anew.

    Args:
        subject: The model's; the source's and the target's events are compared.
        refits: Trained on the same populations from other seeds; with the same layer.
        seed: Halves the events: maps are fitted on one half and scored on the other.

    Raises:
        DataError: There is no refit.
        ConfigError: A refit has no such layer.

    Example:
        Untrained networks stand for refits; a linear map leads from any to any other:

        >>> from neuronedit.review.subject import example_subject
        >>> refits = [Autoencoder(3, example_subject().autoencoder.architecture, seed) for seed in (1, 2)]
        >>> found = refit_consistency(example_subject(), refits, seed=0)
        >>> round(found.mean_r2, 2), found.matches.shape
        (1.0, (2, 3))
    """
    if not refits:
        raise DataError(
            "Refit consistency: found no refit; expected at least one. Train the model with ensemble = 2 or more, or "
            "review it with refits = 1 or more."
        )
    markers = np.concatenate([subject.source.markers, subject.target.markers])
    fits = [activations(fit, markers, subject.layer) for fit in (subject.autoencoder, *refits)]
    return compare_fits(fits, seed)


def compare_fits(fits: Sequence[Float32s], seed: int) -> Consistency:
    """Compare activations of the same events, (n_events, n_neurons) each; the first are the model's own.

    Source: Schneider et al. 2023 (Nature 617), consistency across runs: R² of a linear map between embeddings. Here
    scored on held-out events, and every neuron weighs by its variance, so that dead ones have no part in it.

    Example:
        The second fit has the first's neurons in another order, doubled:

        >>> first = np.random.default_rng(0).standard_normal((100, 2))
        >>> found = compare_fits([first, 2 * first[:, ::-1]], seed=0)
        >>> found.r2.round(2).tolist(), found.matches.round(2).tolist()
        ([[1.0, 1.0], [1.0, 1.0]], [[1.0, 1.0]])
    """
    order = np.random.default_rng(seed).permutation(len(fits[0]))
    fitted_on, scored_on = np.array_split(order, 2)
    halves = [(fit[fitted_on].astype(np.float64), fit[scored_on].astype(np.float64)) for fit in fits]
    r2 = np.array([[_explained(by, of) for of in halves] for by in halves])
    return Consistency(r2, np.stack([_best_matches(fits[0], refit) for refit in fits[1:]]))


def _explained(by: tuple[Float64s, Float64s], of: tuple[Float64s, Float64s]) -> float:
    """Share of the variance of held-out activations that a linear map explains; both as (fitted on, scored on)."""
    origins = [half[0].mean(axis=0) for half in (by, of)]
    weights = np.linalg.lstsq(by[0] - origins[0], of[0] - origins[1], rcond=1e-10)[0]
    missed = of[1] - origins[1] - (by[1] - origins[0]) @ weights
    spread = of[1] - of[1].mean(axis=0)
    total = (spread**2).sum()
    return float(1 - (missed**2).sum() / total) if total else 0.0


def _best_matches(own: Float32s, other: Float32s) -> Float64s:
    """The largest |r| of each neuron with any of another fit's: (n_neurons,); NaN for dead ones."""
    (own_scores, alive), (other_scores, _) = _standard_scores(own), _standard_scores(other)
    strengths = np.abs(own_scores.T @ other_scores) / len(own)
    return np.where(alive, np.minimum(strengths.max(axis=1), 1), np.nan)


def _standard_scores(neurons: Float32s) -> tuple[Float64s, Masks]:
    centred = neurons.astype(np.float64) - neurons.mean(axis=0, dtype=np.float64)
    spreads = rms(centred, axis=0)
    alive = spreads > MIN_REFIT_SPREAD * rms(spreads)
    return centred / np.where(alive, spreads, np.inf), alive


N_SHOWN = 40
"""Neurons whose matches are drawn, the least stable first."""


def refits_part(subject: EditSubject, refits: Sequence[Autoencoder], seed: int = 0) -> Part:
    """Row 18: how far autoencoders trained from other seeds find the same latent space, and the same neurons.

    Raises:
        DataError: There is no refit.
        ConfigError: A refit has no such layer.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> refits = [Autoencoder(3, example_subject().autoencoder.architecture, seed) for seed in (1, 2)]
        >>> refits_part(example_subject(), refits).drawings[0].reading
        "Between any two fits the lowest R² is 1.00; fit 0 is this model's own."
    """
    found = refit_consistency(subject, refits, seed)
    r2, matches = found.r2_table(), subject.called(found.match_table())
    return Part(
        "refits",
        "Refit consistency",
        "consistency",
        _read_refits(found),
        {"refit_r2": r2, "refit_matches": matches},
        (
            Drawing(
                "refit_r2",
                lambda: heatmap_figure(
                    r2.pivot(index="explained_by", columns="fit", values="r2"),
                    "R² (row explains column)",
                    diverging=False,
                ),
                "Share of each fit's latent variance that a linear map of another fit explains",
                f"Between any two fits the lowest R² is {r2['r2'].min():.2f}; fit 0 is this model's own.",
            ),
            Drawing(
                "refit_matches",
                lambda: bar_figure(
                    matches.dropna().nsmallest(N_SHOWN, "match").set_index("neuron")[["match"]],
                    "best |r| with any neuron of a refit, mean over refits",
                ),
                "Each neuron's best correlation with a neuron of a refit, the lowest first",
                read_matches(matches),
            ),
        ),
        {"refit_r2": found.mean_r2, "refit_match": found.mean_match},
        names_warning(found),
    )


def _read_refits(found: Consistency) -> str:
    """Say how much of one fit's latent space another explains, and how well single neurons are found again."""
    n_refits = len(found.matches)
    return (
        f"Over {n_refits} refit{'' if n_refits == 1 else 's'} from other seeds, a linear map explains "
        f"{found.mean_r2:.1%} of one fit's latent variance by another's; single neurons are found again with a best "
        f"|r| of {found.mean_match:.2f} on average."
    )


def read_matches(matches: pd.DataFrame) -> str:
    """Name the neuron that is found again least well, by ``Consistency.match_table``.

    Example:
        >>> read_matches(Consistency(np.ones((2, 2)), matches=np.array([[0.9, 0.4]])).match_table())
        'The least stable neuron is 1 (best |r| 0.40).'
    """
    table = matches.dropna().astype({"neuron": object})
    if not len(table):
        return "No neuron is alive."
    lowest = table.iloc[int(table["match"].argmin())]
    return f"The least stable neuron is {lowest['neuron']} (best |r| {lowest['match']:.2f})."


def names_warning(found: Consistency) -> str:
    """Warn that names belong to one model version, with this model's numbers.

    Example:
        >>> names_warning(Consistency(np.ones((2, 2)), matches=np.array([[0.9, 0.4]])))
        'Across seeds the latent space has R² 1.00, single neurons a best-match r of 0.65: names belong to one model
        version.'
    """
    return (
        f"Across seeds the latent space has R² {found.mean_r2:.2f}, single neurons a best-match r of "
        f"{found.mean_match:.2f}: names belong to one model version."
    )
