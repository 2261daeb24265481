"""Small models, fitted as users fit them."""

from collections.abc import Mapping, Sequence

import numpy as np

from neuronedit.cells.design import EditPair
from neuronedit.edits.edit import Edit, fit_edit
from neuronedit.edits.operators.percentiles import N_PERCENTILES
from neuronedit.edits.pair_events import PairEvents
from neuronedit.edits.plans import Plan
from neuronedit.fitting.prepare import Prepared
from neuronedit.fitting.train import Ensemble, Train
from neuronedit.network.autoencoder import Architecture, Autoencoder
from neuronedit.network.plan import TrainingPlan
from neuronedit.network.state import EpochLosses


def untrained(*autoencoders: Autoencoder) -> Train:
    """In the place of a training: the autoencoders as they are."""

    def train(prepared: Prepared, network: Architecture, plans: Sequence[TrainingPlan]) -> Ensemble:
        return Ensemble(autoencoders, ((EpochLosses(1, 1.0, 1.0),),) * len(autoencoders), {})

    return train


def fit_pair(
    pair: EditPair,
    autoencoder: Autoencoder,
    populations: Mapping[str, np.ndarray],
    plan: Plan,
    zeros: np.ndarray,
    n_percentiles: int = N_PERCENTILES,
) -> Edit:
    """An edit of a pair of standardised populations."""
    events = PairEvents.pool(pair, populations)
    return fit_edit(
        pair.name,
        (autoencoder,),
        plan,
        events.source,
        events.target,
        zeros=zeros,
        fitting=events.fitting(n_percentiles),
    )
