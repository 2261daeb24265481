"""The classifier two-sample test: can a classifier tell two populations of events apart?"""

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_score
from threadpoolctl import threadpool_limits

from neuronedit.metrics import MAX_PAIRED_EVENTS, equally_many

FloatArray = npt.NDArray[np.floating]

N_FOLDS = 5


def classifier_auc(a: FloatArray, b: FloatArray, seed: int = 0) -> float:
    """Area under the ROC curve of a classifier of two populations: 0.5 if they look the same, 1 if fully separable.

    The mean over ``N_FOLDS`` folds, each scored by a classifier that was trained on the others; from equal counts of
    events. Equal laws score 0.5 give or take about 1/√(6 n); samples that share events can score below 0.5.

    The classifier is gradient boosting (50 trees of 8 leaves): a logistic regression sees little but differences of
    the means, which every simple correction removes, while trees see spikes, spreads and combinations of markers,
    and do not depend on the markers' scales.

    Args:
        a: (n, n_markers), in any unit.
        b: (k, n_markers); n and k at least ``N_FOLDS``.
        seed: Draws min(n, k, ``MAX_PAIRED_EVENTS``) events of each population that has more, and the folds.

    Source: Lopez-Paz & Oquab 2017, ICLR (arXiv 1610.06545), with the AUC in the place of the accuracy.

    Example:
        >>> classifier_auc(np.zeros((100, 1)), np.ones((100, 1)))
        1.0
    """
    a, b = equally_many(a, b, MAX_PAIRED_EVENTS, seed)
    classifier = HistGradientBoostingClassifier(
        learning_rate=0.2, max_iter=50, max_leaf_nodes=8, early_stopping=False, random_state=seed
    )
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=seed)
    # OpenMP's threads wait for each other after every node of a tree: on shared cores that was ten times slower.
    with threadpool_limits(1):
        scores = cross_val_score(
            classifier, np.concatenate([a, b]), np.repeat([0, 1], len(a)), cv=folds, scoring="roc_auc"
        )
    return float(np.mean(scores))
