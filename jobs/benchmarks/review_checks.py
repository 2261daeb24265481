"""All 25 rows of the review's specification, each with its check."""

from collections.abc import Callable, Sequence

from . import checks_of_networks as networks
from . import checks_of_neurons as neurons
from . import checks_of_populations as populations
from .checks import Check, Measure, take
from .review_problems import Problems

ROWS: dict[int, tuple[str, Callable[[Problems], Sequence[Measure]]]] = {
    1: ("Edit conductance", neurons.conductance),
    2: ("Faithfulness curve", neurons.faithfulness_curve),
    3: ("Conductance of the treated-vs-control logit", neurons.logit),
    4: ("Activation ladder", neurons.ladder),
    5: ("Preferred treated cell", neurons.preferred),
    6: ("Neuron names", neurons.names),
    7: ("Population by description", neurons.descriptions),
    8: ("Logical explanations", neurons.explanations),
    9: ("Activation-range associations", neurons.ranges),
    10: ("Confounding verdict", populations.confounding),
    11: ("Composition-matched edit", populations.matching),
    12: ("Extrapolation support", populations.coverage),
    13: ("Activation patterns", populations.patterns),
    14: ("Neuron health", networks.health),
    15: ("Decorrelation penalty", networks.decorrelation),
    16: ("Pruning", networks.pruning),
    17: ("Competitive code", networks.competition),
    18: ("Refit consistency", networks.refits),
    19: ("Cycle consistency", networks.cycles),
    20: ("Joint dependence", neurons.dependence),
    21: ("Receptive-field localisation", neurons.localisation),
    22: ("Donor gap", populations.gap),
    23: ("Next sample to measure", networks.next_to_measure),
    24: ("Sample profiles", populations.profiles),
    25: ("Incremental fit", networks.continual),
}
"""Each row's feature and the function that measures it, by the row's number."""


def check_row(row: int, problems: Problems) -> Check:
    """Measure one row."""
    feature, measure = ROWS[row]
    return take(row, feature, lambda: measure(problems))


def check_all(problems: Problems) -> list[Check]:
    """Measure all rows; the networks that several of them share are trained before, so that no row pays for them."""
    assert problems.trained
    assert problems.refits
    return [check_row(row, problems) for row in ROWS]
