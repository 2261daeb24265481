"""Plans that tests try one after another: every operator, of markers and of neurons."""

from neuronedit.edits.operators.table import EditStep
from neuronedit.edits.plans import DEFAULT, QUANTILE_MAP, STRATA, TRANSPORT, Plan
from neuronedit.network.autoencoder import VISIBLE

EVERY_KIND: dict[str, Plan] = {
    "quantile-map": QUANTILE_MAP,
    "strata": STRATA,
    "fine-strata": (EditStep(layer=VISIBLE, operator="strata", n_strata=12),),
    "transport": TRANSPORT,
    "trained-strata": DEFAULT,
    "neurons-strata": (EditStep(operator="strata"), *STRATA),
    "neurons-neighbours": (EditStep(operator="neighbours"), *QUANTILE_MAP),
}
