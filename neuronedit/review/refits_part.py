"""Refit consistency on the page: how stable the latent space is, and each neuron."""

from collections.abc import Sequence

from neuronedit.autoencoder import Autoencoder
from neuronedit.review.bars import bar_figure
from neuronedit.review.heatmap import heatmap_figure
from neuronedit.review.neurons import Neurons
from neuronedit.review.part import Drawing, Part
from neuronedit.review.refits import Consistency, refit_consistency

N_SHOWN = 40
"""Neurons whose matches are drawn, the least stable first."""


def refits_part(subject: Neurons, refits: Sequence[Autoencoder], seed: int = 0) -> Part:
    """Row 18: how far autoencoders trained from other seeds find the same latent space, and the same neurons.

    Raises:
        DataError: There is no refit.
        ConfigError: A refit has no such layer.
    """
    found = refit_consistency(subject, refits, seed)
    r2, matches = found.r2_table(), found.match_table()
    return Part(
        "refits",
        "Refit consistency",
        "consistency",
        read_refits(found),
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
                read_matches(found),
            ),
        ),
        {"refit_r2": found.mean_r2, "refit_match": found.mean_match},
        names_warning(found),
    )


def read_refits(found: Consistency) -> str:
    """Say how much of one fit's latent space another explains, and how well single neurons are found again."""
    n_refits = len(found.matches)
    return (
        f"Over {n_refits} refit{'' if n_refits == 1 else 's'} from other seeds, a linear map explains "
        f"{found.mean_r2:.1%} of one fit's latent variance by another's; single neurons are found again with a best "
        f"|r| of {found.mean_match:.2f} on average."
    )


def read_matches(found: Consistency) -> str:
    """Name the neuron that is found again least well."""
    table = found.match_table().dropna()
    if not len(table):
        return "No neuron is alive."
    lowest = table.iloc[int(table["match"].argmin())]
    return f"The least stable neuron is {lowest['neuron']:.0f} (best |r| {lowest['match']:.2f})."


def names_warning(found: Consistency) -> str:
    """Warn that names belong to one model version, with this model's numbers."""
    return (
        f"Across seeds the latent space has R² {found.mean_r2:.2f}, single neurons a best-match r of "
        f"{found.mean_match:.2f}: names belong to one model version."
    )
