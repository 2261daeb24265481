"""Computed sentences about the figures of an edit's neurons, and the warnings beside them."""

from typing import Final

import numpy as np

from neuronedit.review.conductance import Conductance
from neuronedit.review.effect_logit import LogitAttribution
from neuronedit.review.faithfulness import CONDUCTANCE, EMD, RANDOM, Faithfulness
from neuronedit.review.ladder import Ladder
from neuronedit.review.names import HIGH_CANCELLATION, NeuronNames
from neuronedit.review.preferred import PreferredCell

FEW: Final = 4
"""Neurons that a reviewer can still look at one by one."""

MAX_REALISM: Final = 1.1
MAX_ERROR: Final = 0.05
MIN_RANK_CORRELATION: Final = 0.8
"""Limits beyond which a warning stands beside the figure."""

NOTHING: Final = "The edit moves no neuron of this layer."

MIN_SHARE: Final = 0.05
"""Neurons of a smaller net share are not named as carrying the edit."""

ONE_VERSION: Final = (
    "Names belong to this version of the model: trained anew, the layer as a whole comes back, single neurons do not."
)


def read_conductance(found: Conductance, names: NeuronNames) -> str:
    """Name the neurons that carry the edit, and say how much of all changes cancels."""
    if not found.share.any():
        return NOTHING
    few = found.order[:FEW]
    carry = few[np.abs(found.net_share[few]) >= MIN_SHARE]
    first = carry if len(carry) else few
    called, share = _called(first, names), found.net_share[first].sum()
    return (
        f"{called[0].upper()}{called[1:]} carr{'y' if len(first) > 1 else 'ies'} {share:.0%} of what the edit does; "
        f"{found.cancellation:.0%} of what single neurons do to the markers is undone by others."
    )


def warn_conductance(found: Conductance) -> str:
    """Warn that no neuron is the effect by itself, where most changes cancel."""
    if found.cancellation < HIGH_CANCELLATION:
        return ""
    return (
        f"{found.cancellation:.0%} of what single neurons do is undone by others: the edit is the work of all "
        "together, and no neuron is the effect by itself."
    )


def read_faithfulness(found: Faithfulness) -> str:
    """Say how much of the edit a few neurons keep, beside other orders, and how many keep nine tenths."""
    if np.isnan(found.random).all():
        return NOTHING
    few = min(FEW, int(found.counts[-1]))
    shares = {order: float(np.interp(few, found.counts, found.kept[order])) for order in (CONDUCTANCE, EMD, RANDOM)}
    enough = int(found.counts[np.argmax(found.kept[CONDUCTANCE] >= 0.9)])
    return (
        f"The first {few} neurons by conductance keep {shares[CONDUCTANCE]:.0%} of the edit, by EMD "
        f"{shares[EMD]:.0%}, in a random order {shares[RANDOM]:.0%}; {enough} of {found.counts[-1]} keep nine tenths."
    )


def read_names(names: NeuronNames) -> str:
    """Say how many neurons may be called by their names."""
    silent = sum(not markers for markers in names.written)
    return (
        f"{names.trusted.sum()} of {len(names.names)} neurons may be called by their names, as they read what they "
        f"write and others undo less than half of it{f'; {silent} write nothing' if silent else ''}."
    )


def warn_names(names: NeuronNames) -> str:
    """Warn that names belong to one version, and explain grey ones."""
    grey = (
        ""
        if names.trusted.all()
        else " Grey names are of neurons whose work others undo by half or more, or that read other markers than they "
        "write: such a neuron is not what it is called."
    )
    return ONE_VERSION + grey


def read_logit(found: LogitAttribution, names: NeuronNames) -> str:
    """Say how well treated and control are told apart, by which neurons, and whether conductance agrees."""
    if not found.values.any():
        return NOTHING
    first = np.argsort(-found.mean, kind="stable")[:2]
    return (
        f"A classifier tells treated from control events with AUROC {found.auroc:.2f}; {_called(first, names)} lead "
        f"there most; neurons rank by their part in it as by conductance with {found.rank_correlation:.2f}."
    )


def warn_logit(found: LogitAttribution) -> str:
    """Warn where the rankings by logit and by conductance disagree."""
    if not found.rank_correlation < MIN_RANK_CORRELATION:
        return ""
    return (
        f"Neurons rank otherwise by the classifier than by conductance (rank correlation {found.rank_correlation:.2f}, "
        f"below {MIN_RANK_CORRELATION}): the markers that tell treated from control best are not those that the edit "
        "moves most."
    )


def read_ladder(found: Ladder, neuron: int, names: NeuronNames) -> str:
    """Say which markers change along one neuron's ladder, and how real the cells of all neurons are."""
    if not found.live.any():
        return "No neuron of this layer varies."
    rise = found.cells[neuron, -1] - found.cells[neuron, 0]
    most = np.argsort(-np.abs(rise), kind="stable")[:FEW]
    markers = ", ".join(f"{found.marker_names[marker]} ({rise[marker]:+.1f})" for marker in most)
    return (
        f"From its 1st to its 99th percentile {_called(np.array([neuron]), names)} goes with {markers} standard "
        f"deviations; the cells are {np.median(found.realism[found.live]):.2f} times as far from the nearest real one "
        "as real ones are from one another."
    )


def warn_ladder(found: Ladder) -> str:
    """Warn where cells are unlike real ones, or miss the activations asked for."""
    if not found.live.any():
        return ""
    unreal = float((found.realism[found.live] > MAX_REALISM).mean())
    missed = float((found.errors[found.live] > MAX_ERROR).mean())
    told = [
        f"{share:.0%} of the cells {what}"
        for share, what in (
            (unreal, f"are further from real ones than {MAX_REALISM} times what is usual"),
            (missed, f"miss their activation by more than {MAX_ERROR} spreads"),
        )
        if share > 0.05
    ]
    return f"Not to be read as cells: {'; '.join(told)}." if told else ""


def read_preferred(found: PreferredCell) -> str:
    """Name the markers that differ most between the preferred treated cell and its control."""
    table = found.table().head(FEW)
    markers = ", ".join(f"{row.marker} ({row.change:+.1f}; measured {row.measured:+.1f})" for row in table.itertuples())
    return (
        "From the likeliest control cell to the likeliest one that is as treated as the most treated hundredth, "
        f"{markers} change most, standard deviations."
    )


def warn_preferred(found: PreferredCell) -> str:
    """Warn where no likely cell has the classifier's logits asked for."""
    return "" if found.met else "No likely cell has the logits that were asked for: this is the nearest found."


def _called(neurons: np.ndarray, names: NeuronNames) -> str:
    """Neurons in words, with their names where these may be used."""
    words = [f"{neuron} ({names.names[neuron]})" if names.trusted[neuron] else f"{neuron}" for neuron in neurons]
    listed = f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]
    return f"neuron{'s' if len(words) > 1 else ''} {listed}"
