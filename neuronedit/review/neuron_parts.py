"""Parts of single neurons: conductance, faithfulness, names, the logit, the ladder, the preferred cell."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuronedit.review import neuron_figures as figures
from neuronedit.review import neuron_readings as readings
from neuronedit.review.conductance import Conductance, long_table
from neuronedit.review.effect_logit import TreatedHead, attribute_logit
from neuronedit.review.faithfulness import faithfulness
from neuronedit.review.ladder import activation_ladder
from neuronedit.review.names import NeuronNames
from neuronedit.review.neurons import Neurons
from neuronedit.review.part import Drawing, Part
from neuronedit.review.preferred import preferred_cell
from neuronedit.review.prior import CodePrior


def conductance_part(found: Conductance, names: NeuronNames) -> Part:
    """The neurons through which the edit changes each marker."""
    table, neurons = names.beside(found.table()), names.beside(found.neuron_table())
    reading = readings.read_conductance(found, names)
    return Part(
        "conductance",
        "Edit conductance",
        "neurons",
        reading,
        {"conductance": table, "conductance_neurons": neurons},
        (
            Drawing(
                "conductance",
                lambda: figures.conductance_figure(table, neurons),
                "Heatmap: what each neuron's shift does to each marker, with bars of each neuron's share",
                reading,
            ),
        ),
        {"edit_cancellation": found.cancellation, "completeness_error": found.completeness_error},
        readings.warn_conductance(found),
    )


def faithfulness_part(subject: Neurons, conductance: Conductance, seed: int = 0) -> Part:
    """How many neurons the edit needs.

    Args:
        subject: The edit, as a layer's neurons see it.
        conductance: The conductance of the same edit.
        seed: Draws random orders of neurons.
    """
    found = faithfulness(subject, conductance, seed)
    table, reading = found.table(), readings.read_faithfulness(found)
    return Part(
        "faithfulness",
        "How few neurons carry the edit",
        "neurons",
        reading,
        {"faithfulness": table},
        (
            Drawing(
                "faithfulness",
                lambda: figures.faithfulness_figure(table),
                "Lines: share of the edit kept by the number of neurons edited, for three orders of neurons",
                reading,
            ),
        ),
        _finite({"top4_fraction": found.kept_by(readings.FEW)}),
    )


def names_part(names: NeuronNames, order: npt.NDArray[np.int64]) -> Part:
    """The neurons' names, and whether a neuron may be called by its own."""
    table = names.table().iloc[order].reset_index(drop=True)
    profiles = names.beside(long_table(order, names.marker_names, writes=names.writes, reads=names.reads))
    reading = readings.read_names(names)
    return Part(
        "names",
        "Neuron names",
        "neurons",
        reading,
        {"neuron_names": table, "neuron_profiles": profiles},
        (
            Drawing(
                "names",
                lambda: figures.names_figure(profiles),
                "Two heatmaps, neuron by marker: what neurons write, and what they read",
                reading,
            ),
        ),
        {"trusted_names": float(names.trusted.mean())},
        readings.warn_names(names),
    )


def logit_part(subject: Neurons, head: TreatedHead, conductance: Conductance, names: NeuronNames) -> Part:
    """The neurons that lead from control to treated."""
    found = attribute_logit(subject, head, conductance)
    low, high = np.percentile(found.values, (5, 95), axis=0)
    columns = {
        "conductance": np.abs(conductance.values).sum(axis=1),
        "logit": found.mean,
        "logit_5_percent": low,
        "logit_95_percent": high,
    }
    numbered = pd.DataFrame(columns).rename_axis("neuron").iloc[conductance.order].reset_index()
    table, reading = names.beside(numbered), readings.read_logit(found, names)
    return Part(
        "logit",
        "From control to treated",
        "neurons",
        reading,
        {"logit": table},
        (
            Drawing(
                "logit",
                lambda: figures.logit_figure(table),
                "Bars: each neuron's conductance, and its part in the logit of treated against control",
                reading,
            ),
        ),
        _finite({"logit_rank_correlation": found.rank_correlation, "treated_auroc": found.auroc}),
        readings.warn_logit(found),
    )


def ladder_part(
    subject: Neurons, prior: CodePrior, conductance: Conductance, names: NeuronNames, seed: int = 0
) -> Part:
    """The likeliest cells at low and high activations of each neuron, those that carry most of the edit first.

    Args:
        subject: The edit, as a layer's neurons see it.
        prior: The layer's likely activations.
        conductance: Orders the neurons.
        names: The neurons' names.
        seed: Draws real events to compare the cells with.
    """
    found = activation_ladder(subject, prior, seed)
    live = [int(neuron) for neuron in conductance.order if found.live[neuron]]
    table = names.beside(found.table())
    rungs = pd.concat([table[table["neuron"] == neuron] for neuron in live], ignore_index=True) if live else table[:0]
    reading = readings.read_ladder(found, live[0] if live else 0, names)
    realism = float(np.median(found.realism[live])) if live else float("nan")
    return Part(
        "ladder",
        "Activation ladder",
        "neurons",
        reading,
        {"ladder": rungs},
        (
            Drawing(
                "ladder",
                lambda: figures.ladder_figure(rungs),
                "Heatmaps: the likeliest cell at five percentiles of a neuron's activations, for the first neurons",
                reading,
            ),
        )
        if live
        else (),
        _finite({"ladder_realism": realism}),
        readings.warn_ladder(found),
    )


def preferred_part(subject: Neurons, prior: CodePrior, head: TreatedHead) -> Part:
    """The likeliest cell that the model calls treated, beside its control.

    Args:
        subject: The edit, as a layer's neurons see it.
        prior: The layer's likely activations.
        head: Tells treated from control events.
    """
    found = preferred_cell(subject, prior, head)
    table, reading = found.table(), readings.read_preferred(found)
    return Part(
        "preferred",
        "Preferred treated cell",
        "neurons",
        reading,
        {"preferred_cell": table},
        (
            Drawing(
                "preferred",
                lambda: figures.preferred_figure(table),
                "Bars: by how much each marker of the preferred treated cell differs from its control",
                reading,
            ),
        ),
        warning=readings.warn_preferred(found),
    )


def _finite(scalars: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in scalars.items() if np.isfinite(value)}
