"""AnnData in, AnnData out: ``neuronedit.anndata.edit`` adds a layer, ``neuronedit.anndata.fit`` learns from one.

Rows are events, the variables are markers. The matrix that is read, ``uns["meta"]`` and all else stay as they are.
What is needed comes with the extra ``anndata``; neither Ray nor MLflow is.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

import neuronedit
from neuronedit.arrays import Float32s, Int64s, Masks, Texts
from neuronedit.cells.design import PAIR_EDIT
from neuronedit.cells.events import check_finite
from neuronedit.cells.names import tell_no_markers
from neuronedit.cells.panel import Panel
from neuronedit.cells.selection import Where, check_design_columns, select
from neuronedit.cells.transforms import one_each, restore_intensities, transform_markers
from neuronedit.errors import DataError, listing, nearest_name
from neuronedit.estimator.matrices import Scale, as_floats, blocks, check_scale, marker_columns, marker_names
from neuronedit.estimator.transformer import NeuronEdit
from neuronedit.model.edit_model import EditModel
from neuronedit.model.route import NOT_CHOSEN, Route, Transformed, UnknownBatch, same_outcome
from neuronedit.model.saved.files import digest_of, load_model

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["edit", "fit"]

KEY = "neuronedit"
"""The entry of ``uns`` that says how each layer was made, and the name of the layer and of columns of ``obs``."""


def edit(
    adata: "AnnData",
    model: EditModel | NeuronEdit | str | Path,
    *,
    layer: str | None = None,
    scale: Scale = "raw",
    batch_key: str | None = None,
    key_added: str = KEY,
    support: bool = False,
    edits: str | Sequence[str] = (),
    strength: float | None = None,
    where: Where | None = None,
    unknown_batch: UnknownBatch = "error",
    copy: bool = False,
) -> "AnnData | None":
    """Edit the markers of an AnnData into a new layer: of raw intensities, bit for bit as the job ``transform`` does.

    Args:
        adata: Events × variables, in memory or backed, dense or sparse. Markers are found by their names, or by the
            column ``marker`` of ``var``; other variables are handed on to the layer as they are.
        model: The model, the folder that it is in, or a fitted ``NeuronEdit``.
        layer: The layer to read; by default ``X``.
        scale: ``raw`` for raw intensities, ``transformed`` for values led through the transforms of the model's panel;
            the new layer has the same scale.
        batch_key: The column of ``obs`` with each event's batch; by default the one that the model's design names. A
            model of a pair needs none.
        key_added: The name of the layer that is written, over one of that name, and the beginning of the names of
            columns in ``obs``.
        support: Add the column ``{key_added}_support`` to ``obs``: above 1, the source had nothing like the event.
        edits: Applied one after another to every event, in place of its batch's own.
        strength: The share of the change that is made; by default 1, or that of the ``NeuronEdit``.
        where: Values of columns of ``obs``, of the events to edit; by default all are. The column ``{key_added}`` of
            ``obs`` then says what became of each event, as it does with ``unknown_batch="pass"``.
        unknown_batch: ``error``, or ``pass`` to leave events of batches without an edit as they are.
        copy: Give an edited copy, and leave ``adata`` as it is.

    Returns:
        None, or the copy.

    Raises:
        PanelError: A marker is missing, or a name stands twice.
        DataError: The layer or a column of ``obs`` is missing, an intensity is not a finite number, the values look
            transformed where raw ones are expected, or the other way round; or what would be written stands already.
        ModelError: A batch or an edit is unknown, or there is no model in the folder.

    Example:
        The treatment of ``example_model`` adds 1 to pSTAT1, arcsinh units:

        >>> from anndata import AnnData
        >>> from neuronedit.model.example import MARKERS, example_cells, example_model
        >>> adata = AnnData(example_cells(seed=2), var=pd.DataFrame(index=[*MARKERS]))
        >>> edit(adata, example_model(), support=True)
        >>> before, after = (np.arcsinh(values / 5) for values in (adata.X, adata.layers["neuronedit"]))
        >>> (after - before).mean(axis=0).round(1).tolist(), list(adata.obs), list(adata.uns)
        ([0.0, 0.0, 1.0], ['neuronedit_support'], ['neuronedit'])
    """
    taken, own_strength = _model_of(model)
    names = (edits,) if isinstance(edits, str) else tuple(edits)
    route = Route(names, unknown_batch, own_strength if strength is None else strength, support)
    batch_key = None if names or taken.batch_column is None else batch_key or taken.batch_column
    where = where or {}
    check_design_columns([*adata.obs.columns], [*([batch_key] if batch_key else []), *where], "adata.obs")
    _check_free(adata, layer, key_added)
    columns = marker_columns(adata.var, taken.panel)
    matrix = _matrix_of(adata, layer)
    check_scale(matrix, columns, taken.panel, scale, _usual_intensity(taken))
    batches = adata.obs[batch_key].to_numpy(dtype=object) if batch_key else None
    chosen = select(adata.obs, where)
    editing = _Editing(taken, route, scale, columns)
    done = [editing.edited(block, first, chosen, batches) for first, block in blocks(matrix)]
    edited = adata.copy() if copy else adata
    for stale in {key_added, f"{key_added}_support"} & {*edited.obs.columns}:  # of the edit that is written over
        del edited.obs[stale]
    edited.layers[key_added] = sparse.vstack(done, "csr") if sparse.issparse(done[0]) else np.concatenate(done)
    if where or unknown_batch == "pass":
        edited.obs[key_added] = pd.Categorical(np.concatenate(editing.outcomes))
    if support:
        edited.obs[f"{key_added}_support"] = np.concatenate(editing.supports)
    record = {
        "model_sha256": digest_of(taken),
        "edits": ", ".join(names) or (f"by {batch_key}" if batch_key else PAIR_EDIT),
        "strength": route.strength,
        "layer": layer or "X",
        "scale": scale,
        "version": neuronedit.__version__,
    }
    edited.uns[KEY] = {**edited.uns.get(KEY, {}), key_added: record}
    return edited if copy else None


def fit(
    adata: "AnnData",
    domain_key: str,
    estimator: NeuronEdit | None = None,
    *,
    sample_key: str | None = None,
    layer: str | None = None,
    scale: Scale = "raw",
    markers: Sequence[str] | None = None,
) -> NeuronEdit:
    """Learn a change between domains of the events of an AnnData, which stays as it is.

    Args:
        adata: Events × variables: those to learn from, of controls the control samples alone, such as
            ``adata[adata.obs["role"] == "control"]``.
        domain_key: The column of ``obs`` with each event's domain: its treatment, or its batch.
        estimator: An unfitted ``NeuronEdit`` with the settings; by default a pair that leads to the last domain.
        sample_key: The column of ``obs`` that says which donor or plate each event is from; each of several is left out
            in turn, to tell beforehand how the change carries over.
        layer: The layer to read; by default ``X``.
        scale: ``raw``, or ``transformed`` for values led through the estimator's ``transforms``.
        markers: The variables to learn on; by default those that ``var["is_marker"]`` says are markers, or all.

    Returns:
        A fitted copy of the estimator, for ``edit``. Its model names ``domain_key`` as its column.

    Raises:
        DataError: The layer, a column of ``obs`` or a marker is missing, or the values have another scale.
        ValueError: What ``NeuronEdit.fit`` tells of domains and values.

    Example:
        >>> from anndata import AnnData
        >>> from neuronedit import Architecture, EditConfig, TrainingPlan
        >>> from neuronedit.model.example import MARKERS, example_cells
        >>> cells = np.concatenate([example_cells(0), example_cells(1, treated=1.0)])
        >>> obs = pd.DataFrame({"treated": np.repeat(["no", "yes"], 400)}, index=np.arange(800).astype(str))
        >>> adata = AnnData(cells, obs=obs, var=pd.DataFrame(index=[*MARKERS]))
        >>> quick = NeuronEdit(edit=EditConfig(preset="quantile-map"), training=TrainingPlan(epochs=1))
        >>> learned = fit(adata, "treated", quick)
        >>> edit(adata, learned, where={"treated": "no"})
        >>> adata.obs["neuronedit"].value_counts().to_dict()
        {'edited': 400, 'not chosen': 400}
    """
    check_design_columns(adata.obs.columns, [domain_key, *([sample_key] if sample_key else [])], "adata.obs")
    unfitted = NeuronEdit() if estimator is None else clone(estimator)
    names = marker_names(adata.var) if markers is None else [*markers]
    tell_no_markers(names, "adata.var")
    panel = Panel(names, one_each(unfitted.transforms, len(names)))
    columns, matrix = marker_columns(adata.var, panel), _matrix_of(adata, layer)
    check_scale(matrix, columns, panel, scale)
    cells = np.concatenate([as_floats(block)[:, columns] for _, block in blocks(matrix)])
    check_finite(cells, names, "adata")
    raw = cells if scale == "raw" else restore_intensities(cells, panel.transforms)
    sample = None if sample_key is None else adata.obs[sample_key]
    return unfitted.fit(pd.DataFrame(raw, columns=names), adata.obs[domain_key], sample=sample)


class _Editing:
    """Edits blocks of events, and keeps what came of each event."""

    def __init__(self, model: EditModel, route: Route, scale: Scale, columns: Int64s) -> None:
        self.model = model
        self.route = route
        self.is_raw = scale == "raw"
        self.columns = columns
        self.outcomes: list[Texts] = []
        self.supports: list[Float32s] = []

    def edited(self, block: Any, first: int, chosen: Masks, batches: Texts | None) -> Any:
        """Give a block, (n_events, n_variables), with its chosen events edited, dense or sparse as it came."""
        values, panel = as_floats(block), self.model.panel
        rows = slice(first, first + len(values))
        given, of_block = values[:, self.columns], chosen[rows]
        check_finite(given, panel.markers, "adata", first)
        raw = (given if self.is_raw else restore_intensities(given, panel.transforms))[of_block]
        found = self.model.transform(raw, None if batches is None else batches[rows][of_block], self.route, "adata")
        moved = found.intensities
        if not self.is_raw:  # what was not moved stays bit for bit
            moved = np.where(moved == raw, given[of_block], transform_markers(moved, panel.transforms, np.float64))
        values[np.ix_(of_block, self.columns)] = moved
        self._keep(of_block, found)
        return sparse.csr_matrix(values) if sparse.issparse(block) else values

    def _keep(self, chosen: Masks, found: Transformed) -> None:
        outcomes = same_outcome(len(chosen), NOT_CHOSEN)
        outcomes[chosen] = found.outcomes
        self.outcomes.append(outcomes)
        if found.support is not None:
            support = np.full(len(chosen), np.nan, dtype=np.float32)
            support[chosen] = found.support
            self.supports.append(support)


def _model_of(given: EditModel | NeuronEdit | str | Path) -> tuple[EditModel, float]:
    """Find the model, and the strength that comes with it."""
    if isinstance(given, NeuronEdit):
        check_is_fitted(given)
        return given.model_, given.strength
    return given if isinstance(given, EditModel) else load_model(given), 1.0


def _check_free(adata: "AnnData", layer: str | None, key: str) -> None:
    """Check that nothing is written over but what an earlier edit wrote."""
    records = adata.uns.get(KEY, {})
    if not isinstance(records, Mapping):
        raise DataError(f"adata.uns[{KEY!r}] is a {type(records).__name__}; expected what edit wrote there. Rename it.")
    standing = [f"the layer {key!r}"] if key in adata.layers else []
    standing += [f"the column {name!r} of obs" for name in (key, f"{key}_support") if name in adata.obs]
    if key == layer or (standing and key not in records):
        raise DataError(
            f"adata has {standing[0]}, which edit would write over and did not write, or reads. Give another key_added."
        )


def _matrix_of(adata: "AnnData", layer: str | None) -> Any:
    """Find ``X``, or a layer."""
    if layer is not None and layer not in adata.layers:
        raise DataError(
            f"adata has no layer {layer!r}; expected one of {listing(adata.layers)}"
            f"{nearest_name(layer, adata.layers)}, or none for X. Correct layer."
        )
    matrix = adata.X if layer is None else adata.layers[layer]
    if matrix is None:
        raise DataError(f"adata has no X; expected the intensities there. Name their layer: {listing(adata.layers)}.")
    return matrix


def _usual_intensity(model: EditModel) -> float:
    """The raw intensity of the brightest marker two standard deviations above its mean, where the model learned."""
    high = model.scaling.means + 2 * model.scaling.spreads
    return float(model.scaling.intensities(high[None, :]).max())
