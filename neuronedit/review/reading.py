"""What each figure shows, in one computed sentence."""

import numpy as np
import pandas as pd

from neuronedit.review.figures import most_changed
from neuronedit.review.transfer import FLOOR, NEURONEDIT


def read_methods(methods: pd.DataFrame) -> str:
    """Of one comparison's rows of ``method_table``: which method comes nearest to the truth."""
    scores = methods.set_index("method").drop(FLOOR)
    best = {metric: str(scores[metric].astype(float).idxmin()) for metric in ("emd", "energy")}
    nearest = (
        f"{best['emd']} comes nearest to the truth by both distances"
        if len(set(best.values())) == 1
        else f"{best['emd']} comes nearest by EMD, {best['energy']} by energy distance"
    )
    r_emd, r_energy = (float(scores[column].astype(float)[NEURONEDIT]) for column in ("r_emd", "r_energy"))
    if not np.isfinite([r_emd, r_energy]).all():
        return f"{_sentence(nearest)}; without edit the events are within noise of the truth already."
    left = f"{max(r_emd, 0):.0%} of the EMD and {max(r_energy, 0):.0%} of the energy distance above the noise floor"
    return f"{_sentence(nearest)}; neuronedit leaves {left}."


def read_markers(markers: pd.DataFrame) -> str:
    """Of one comparison's rows of ``marker_table``: which moves most, how many improve, which are made worse."""
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
    """Of one comparison's rows of ``density_table`` and ``marker_table``: where to look."""
    furthest = markers.iloc[int(markers["after"].argmax())]
    return (
        f"The edited line should lie on the measured one; the edit moves {', '.join(most_changed(densities, 3))} most, "
        f"and the largest distance that remains is {furthest['marker']}'s (EMD {furthest['after']:.2f})."
    )


def read_reconstruction(reconstruction: pd.DataFrame) -> str:
    """Which population the autoencoder returns least well."""
    hardest = reconstruction.iloc[int(reconstruction["mse"].argmax())]
    return (
        f"The autoencoder returns {reconstruction['explained'].min():.0%} to {reconstruction['explained'].max():.0%} "
        f"of each population's variance; the hardest is {hardest['population']} "
        f"(mean squared error {hardest['mse']:.3f})."
    )


def read_losses(losses: pd.DataFrame) -> str:
    """Whether training had settled, and whether it memorised."""
    validation = losses["validation_loss"].to_numpy(dtype=float)
    last, best = validation[-1], int(np.argmin(validation))
    train = float(losses["train_loss"].iloc[-1])
    return (
        f"After {len(losses)} epochs the validation error is {last:.3f} (training {train:.3f}); "
        f"it was lowest, {validation[best]:.3f}, after epoch {int(losses['epoch'].iloc[best])}."
    )


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] if not text.startswith(NEURONEDIT) else text
