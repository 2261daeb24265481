"""Computed sentences about the figures of a comparison, the reconstruction and the training."""

import numpy as np
import pandas as pd

from neuronedit.measures.distances import DECISIVE, FLOOR
from neuronedit.review.transfer.figures import most_changed
from neuronedit.review.transfer.transfer import NEURONEDIT


def read_methods(methods: pd.DataFrame) -> str:
    """Say which method comes nearest to the truth, from one comparison's rows of ``method_table``.

    Example:
        >>> distances, residuals = [1.0, 0.2, 0.1], [1.0, 0.1, 0.0]
        >>> scores = {"emd": distances, "energy": distances, "r_emd": residuals, "r_energy": residuals}
        >>> read_methods(pd.DataFrame({"method": ["no edit", NEURONEDIT, FLOOR], **scores}))
        'neuronedit comes nearest to the truth by both distances; neuronedit leaves 10% of the EMD and 10% of the
        energy distance above the noise floor.'
    """
    scores = methods.set_index("method").drop(FLOOR)
    best = [str(scores[metric.name].astype(float).idxmin()) for metric in DECISIVE]
    (first, by_first), *others = zip(best, (metric.title for metric in DECISIVE), strict=True)
    nearest = (
        f"{first} comes nearest to the truth by {'both' if len(best) == 2 else 'all'} distances"
        if len(set(best)) == 1
        else ", ".join([f"{first} comes nearest by {by_first}", *(f"{name} by {title}" for name, title in others)])
    )
    residuals = {metric.title: float(scores[f"r_{metric.name}"].astype(float)[NEURONEDIT]) for metric in DECISIVE}
    if not np.isfinite(list(residuals.values())).all():
        return f"{_sentence(nearest)}; without edit the events are within noise of the truth already."
    left = " and ".join(f"{max(residual, 0):.0%} of the {title}" for title, residual in residuals.items())
    return f"{_sentence(nearest)}; neuronedit leaves {left} above the noise floor."


def read_markers(markers: pd.DataFrame) -> str:
    """Say how many markers improve, which moves most, and which are made worse, from one comparison's rows.

    Example:
        >>> scores = {"before": [1.0, 0.1], "after": [0.2, 0.4], "floor": [0.1, 0.1], "worse": [False, True]}
        >>> read_markers(pd.DataFrame({"marker": ["pSTAT1", "CD3"], **scores}))
        '1 of 2 markers come nearer to the truth by more than their noise floor, most of all pSTAT1 (1.00 → 0.20);
        made worse: CD3.'
    """
    gain = markers["before"] - markers["after"]
    best, better = markers.iloc[int(gain.argmax())], int((gain > markers["floor"]).sum())
    worse = list(markers.loc[markers["worse"], "marker"])
    told = f"made worse: {', '.join(worse)}" if worse else "none is made worse"
    if better == 0:
        return f"No marker comes nearer to the truth by more than its noise floor; {told}."
    return (
        f"{better} of {len(markers)} markers come nearer to the truth by more than their noise floor, most of all "
        f"{best['marker']} ({best['before']:.2f} → {best['after']:.2f}); {told}."
    )


def read_densities(densities: pd.DataFrame, markers: pd.DataFrame) -> str:
    """Name the markers that the edit moves most and the largest distance that remains, from one comparison's rows.

    Example:
        >>> from neuronedit.review.page.review_model import example_review
        >>> read_densities(example_review().densities, example_review().markers)
        "The edited line should lie on the measured one; the edit moves pSTAT1, CD3, CD4 most, and the largest
        distance that remains is CD4's (EMD 0.11)."
    """
    furthest = markers.iloc[int(markers["after"].argmax())]
    return (
        f"The edited line should lie on the measured one; the edit moves {', '.join(most_changed(densities, 3))} most, "
        f"and the largest distance that remains is {furthest['marker']}'s (EMD {furthest['after']:.2f})."
    )


def read_reconstruction(reconstruction: pd.DataFrame) -> str:
    """Name the population that the autoencoder returns least well.

    Example:
        >>> table = pd.DataFrame({"population": ["source", "target"], "mse": [0.1, 0.2], "explained": [0.9, 0.8]})
        >>> read_reconstruction(table)
        "The autoencoder returns 80% to 90% of each population's variance; the hardest is target (mean squared error
        0.200)."
    """
    hardest = reconstruction.iloc[int(reconstruction["mse"].argmax())]
    return (
        f"The autoencoder returns {reconstruction['explained'].min():.0%} to {reconstruction['explained'].max():.0%} "
        f"of each population's variance; the hardest is {hardest['population']} "
        f"(mean squared error {hardest['mse']:.3f})."
    )


def read_losses(losses: pd.DataFrame) -> str:
    """Compare the last validation error with the lowest, and with the training error.

    Example:
        >>> read_losses(pd.DataFrame({"epoch": [1, 2], "train_loss": [0.9, 0.5], "validation_loss": [0.6, 0.7]}))
        'After 2 epochs the validation error is 0.700 (training 0.500); it was lowest, 0.600, after epoch 1.'
    """
    validation = losses["validation_loss"].to_numpy(dtype=float)
    last, best = validation[-1], int(np.argmin(validation))
    train = float(losses["train_loss"].iloc[-1])
    return (
        f"After {len(losses)} epochs the validation error is {last:.3f} (training {train:.3f}); "
        f"it was lowest, {validation[best]:.3f}, after epoch {int(losses['epoch'].iloc[best])}."
    )


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] if not text.startswith(NEURONEDIT) else text
