"""Pruning on the page: the ablation curve, the gates, and how wide the layer would have to be."""

import pandas as pd
from matplotlib.figure import Figure

from neuronedit.review.figures import BLACK, BLUE, SMALL, VERMILLION
from neuronedit.review.health_part import spans
from neuronedit.review.neurons import Neurons
from neuronedit.review.part import Drawing, Part
from neuronedit.review.pruning import TOLERANCE, Pruning, prune

FROZEN = (
    "The network stays as it is: neurons that share one task, duplicates among them, are each needed as long as the "
    "others are not trained to take over. A network trained anew may do with fewer."
)


def pruning_part(subject: Neurons, seed: int = 0) -> Part:
    """Row 16: the neurons that the reconstruction does without, and the error with the best 0, 1, … of them."""
    found = prune(subject, seed)
    curve, width = found.curve(), found.suggested_width
    drawing = Drawing(
        "ablation",
        lambda: ablation_figure(curve, width),
        "Reconstruction error with the most important neurons open, by their number",
        read_curve(found),
    )
    return Part(
        "pruning",
        "Pruning",
        "health",
        read_pruning(found),
        {"pruning": found.table(), "ablation": curve},
        (drawing,),
        {"closed_neurons": float(len(found.closed)), "suggested_width": float(width)},
        FROZEN,
    )


def read_pruning(found: Pruning) -> str:
    """Say which gates close, and how many neurons suffice."""
    n_closed, n_neurons = len(found.closed), len(found.gates)
    closed = f"gates close {n_closed} of {n_neurons} neurons ({spans(found.closed)})"
    return (
        f"Trained {closed if n_closed else f'gates close none of {n_neurons} neurons'}; {found.suggested_width} "
        f"suffice for a reconstruction error within {TOLERANCE:.0%} of the whole layer's ({found.errors[-1]:.3f})."
    )


def read_curve(found: Pruning) -> str:
    """Say the error with no neuron, with half of them, and with all."""
    half = len(found.gates) // 2
    return (
        f"The error falls from {found.errors[0]:.3f} with every neuron held at its mean to {found.errors[half]:.3f} "
        f"with the {half} most important ones and {found.errors[-1]:.3f} with all {len(found.gates)}."
    )


def ablation_figure(curve: pd.DataFrame, width: int) -> Figure:
    """Draw the error by the number of open neurons, from ``Pruning.curve``, with the suggested width."""
    figure = Figure(figsize=(7.2, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot(curve["open"], curve["mse"], color=BLUE, marker=".", ms=5, lw=1.2)
    whole = float(curve["mse"].iloc[-1])
    axes.axhline((1 + TOLERANCE) * whole, color=BLACK, ls="--", lw=0.8, label=f"whole layer's + {TOLERANCE:.0%}")
    axes.axvline(width, color=VERMILLION, ls=":", lw=1.4, label=f"suggested width: {width}")
    if whole > 0:
        axes.set_yscale("log")
    axes.set_xlabel("neurons open, the most important first; all others held at their means", fontsize=9)
    axes.set_ylabel("mean squared error\n(standardised markers)", fontsize=9)
    axes.legend(fontsize=SMALL, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=SMALL)
    return figure
