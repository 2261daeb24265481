"""Computed sentences about the figures of a comparison, the reconstruction and the training."""

import numpy as np
import pandas as pd

from neuronedit.metrics import DECISIVE, FLOOR
from neuronedit.review.figures import most_changed
from neuronedit.review.transfer import NEURONEDIT


def read_methods(methods: pd.DataFrame) -> str:
    """Say which method comes nearest to the truth, from one comparison's rows of ``method_table``."""
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
    """Say how many markers improve, which moves most, and which are made worse, from one comparison's rows."""
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
    """Name the markers that the edit moves most and the largest distance that remains, from one comparison's rows."""
    furthest = markers.iloc[int(markers["after"].argmax())]
    return (
        f"The edited line should lie on the measured one; the edit moves {', '.join(most_changed(densities, 3))} most, "
        f"and the largest distance that remains is {furthest['marker']}'s (EMD {furthest['after']:.2f})."
    )


def read_reconstruction(reconstruction: pd.DataFrame) -> str:
    """Name the population that the autoencoder returns least well."""
    hardest = reconstruction.iloc[int(reconstruction["mse"].argmax())]
    return (
        f"The autoencoder returns {reconstruction['explained'].min():.0%} to {reconstruction['explained'].max():.0%} "
        f"of each population's variance; the hardest is {hardest['population']} "
        f"(mean squared error {hardest['mse']:.3f})."
    )


def read_losses(losses: pd.DataFrame) -> str:
    """Compare the last validation error with the lowest, and with the training error."""
    validation = losses["validation_loss"].to_numpy(dtype=float)
    last, best = validation[-1], int(np.argmin(validation))
    train = float(losses["train_loss"].iloc[-1])
    return (
        f"After {len(losses)} epochs the validation error is {last:.3f} (training {train:.3f}); "
        f"it was lowest, {validation[best]:.3f}, after epoch {int(losses['epoch'].iloc[best])}."
    )


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] if not text.startswith(NEURONEDIT) else text
