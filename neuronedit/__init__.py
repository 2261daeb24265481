"""Neuron editing for cytometry: learn a change between two cell populations, apply it to others.

Fit and use a model:

* `fit_model`: populations in, a model out, in this process;
* `EditModel`: the model, which edits raw intensities;
* `save_model`, `load_model`: its folder, without pickle;
* `NeuronEdit`: all of this as a transformer of scikit-learn;
* `edit_table`: a model applied to a table of pyarrow, pandas or polars (with the extra ``jobs``).

Say what is measured, and which populations edits lead from and to:

* `Panel`: the markers, in order, each with its transform;
* `Arcsinh`, `Logicle`, `Linear`: the transforms;
* `PairDesign`: one edit, source → target;
* `ControlsDesign`: an edit for every batch with a control, batch → reference.

Settings, each with a default:

* `EditConfig`: which layers are edited, and how;
* `TrainingPlan`: how long and how fast the autoencoder learns;
* `Architecture`: its layers.

Example:
    Two markers of two batches; the second batch measures the first marker twice as high:

    >>> import numpy as np
    >>> import neuronedit
    >>> day1 = np.random.default_rng(0).lognormal(3.0, 0.5, (300, 2))
    >>> day2 = np.random.default_rng(1).lognormal(3.0, 0.5, (300, 2)) * [2.0, 1.0]
    >>> fitted = neuronedit.fit_model(
    ...     {"day1": day1, "day2": day2},
    ...     neuronedit.Panel(("CD4", "CD8"), (5.0, 5.0)),
    ...     neuronedit.ControlsDesign.of_arrays(reference="day1"),
    ...     training=neuronedit.TrainingPlan(epochs=2),
    ...     edit=neuronedit.EditConfig(preset="quantile-map"),
    ... )
    >>> corrected = fitted.model.apply(day2, "day2")
    >>> [round(float(ratio)) for ratio in np.median(day2 / corrected, axis=0)]
    [2, 1]

Everything is imported when it is first asked for: PyTorch takes seconds.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuronedit.adapters.transform.tables import edit_table
    from neuronedit.cells.design import ControlsDesign, PairDesign
    from neuronedit.cells.panel import Panel
    from neuronedit.cells.transforms import Arcsinh, Linear, Logicle
    from neuronedit.edits.plans import EditConfig
    from neuronedit.estimator.transformer import NeuronEdit
    from neuronedit.fitting.fit import fit_model
    from neuronedit.model.edit_model import EditModel
    from neuronedit.model.saved.files import load_model, save_model
    from neuronedit.network.autoencoder import Architecture
    from neuronedit.network.plan import TrainingPlan

__all__ = [
    "Architecture",
    "Arcsinh",
    "ControlsDesign",
    "EditConfig",
    "EditModel",
    "Linear",
    "Logicle",
    "NeuronEdit",
    "PairDesign",
    "Panel",
    "TrainingPlan",
    "__version__",
    "edit_table",
    "fit_model",
    "load_model",
    "save_model",
]

_HOMES = {
    "Arcsinh": "neuronedit.cells.transforms",
    "Architecture": "neuronedit.network.autoencoder",
    "ControlsDesign": "neuronedit.cells.design",
    "EditConfig": "neuronedit.edits.plans",
    "EditModel": "neuronedit.model.edit_model",
    "Linear": "neuronedit.cells.transforms",
    "Logicle": "neuronedit.cells.transforms",
    "NeuronEdit": "neuronedit.estimator.transformer",
    "PairDesign": "neuronedit.cells.design",
    "Panel": "neuronedit.cells.panel",
    "TrainingPlan": "neuronedit.network.plan",
    "edit_table": "neuronedit.adapters.transform.tables",
    "fit_model": "neuronedit.fitting.fit",
    "load_model": "neuronedit.model.saved.files",
    "save_model": "neuronedit.model.saved.files",
}
"""By public name, the module that has it."""

try:
    __version__ = version("neuronedit")
except PackageNotFoundError:  # run from a source folder, as a Ray job does
    __version__ = "0.2.0+source"


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if _HOMES[name].startswith("neuronedit.adapters"):
            error.add_note("It comes with the extra: pip install 'neuronedit[jobs]'.")
        raise


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
