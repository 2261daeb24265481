"""An edit of a pair of populations, as the training job fits it."""

from collections.abc import Mapping

import numpy as np

from neuronedit.auto import Plan
from neuronedit.autoencoder import Autoencoder
from neuronedit.design import EditPair
from neuronedit.edit import Edit, fit_edit
from neuronedit.pair_events import PairEvents
from neuronedit.percentiles import N_PERCENTILES


def fit_pair(
    pair: EditPair,
    autoencoder: Autoencoder,
    populations: Mapping[str, np.ndarray],
    plan: Plan,
    zeros: np.ndarray,
    n_percentiles: int = N_PERCENTILES,
) -> Edit:
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
