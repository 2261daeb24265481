"""Markers that an edit cannot learn: in source or target they have no signal, or not the signal of the other.

Percentiles of a marker that one of the two does not show lead to anything: signal is wiped out where the target has
none, noise is blown up where the source has none. The edit leaves such a marker as it is, and does not look at it.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal

import numpy as np
import torch
from torch import Tensor

from neuronedit.arrays import Float32s, Float64s, Floats
from neuronedit.cells.panel import Panel
from neuronedit.cells.scaling import MIN_MARKER_SPREAD
from neuronedit.cells.transforms import Linear, Transform
from neuronedit.errors import ConfigError, listing, nearest_name

Unlearnable = Literal["leave", "refuse", "learn"]

UNLEARNABLE: Final = "unlearnable"
"""The key of a model's and a manifest's facts that names the markers which an edit leaves as they are."""

UNMOVED: Final = "unmoved"
"""The key of the same facts that names the markers which the user does not want to be moved."""

FEW: Final = 0.02
"""A marker is constant in a population where all but this share of the events, at each end, have one value."""

MAX_STRETCH: Final = 30.0
"""The spreads of source and target, without ``FEW`` events at each end, differ by this factor at most.

No treatment turns noise so narrow into signal, or back: effects of known drugs stretched markers by up to 3.7.
"""

MAX_GAIN: Final = 5.0
"""The largest gain between two measurements of the same cells: the factor between their intensities."""

MAX_RISE: Final = 2.0
"""The same for values that are transformed already: the factor between their heights above the least values."""

MIN_REACH: Final = 0.2
"""Given ``MAX_GAIN``, this part at least of the events that the other has above an intensity must reach it, too.

In 16 pairs of real controls, of 25 or 37 markers each, it was 0.25 and more for every marker.
"""

MIN_EVENTS: Final = 10
"""Events above an intensity that a share of them can be told from."""

MAX_EVENTS: Final = 5_000
"""Events of each population that are looked at, about, spread evenly over all: pooled controls make many pairs."""

_TAILS: Final = np.array([0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5])


def find_unlearnable(
    source: Floats, target: Floats, panel: Panel, names: tuple[str, str] = ("source", "target"), *, same_cells: bool
) -> dict[int, str]:
    """Find the markers that an edit from source to target cannot learn, by column, each with the reason.

    A marker can be learned where its values vary in both populations, and where a bounded map leads from one to the
    other. The spreads may differ ``MAX_STRETCH`` times, in transformed units. Controls are the same cells, measured
    twice, and one may be ``MAX_GAIN`` times as bright as the other: one whose brightest events do not reach the
    other's by that gain lacks its signal. A treatment, though, may lead from no signal to signal.

    Args:
        source: (n_source, n_markers) raw intensities.
        target: (n_target, n_markers) raw intensities.
        panel: The markers.
        names: Names of source and target, for the reasons.
        same_cells: Whether both are controls.

    Example:
        >>> cells = np.random.default_rng(0).lognormal(3.0, 1.0, (400, 2))
        >>> find_unlearnable(cells, cells * [3.0, 0.0], Panel(("CD4", "CD8"), (5.0, 5.0)), same_cells=True)
        {1: "'target' has no signal: 100.0% of its events are at 0"}
    """
    found = {}
    source, target = (events[:: max(1, len(events) // MAX_EVENTS)] for events in (source, target))
    for column, transform in enumerate(panel.transforms):
        pair = source[:, column].astype(np.float64), target[:, column].astype(np.float64)
        reason = _constant(pair, transform, names) or (_lacking(pair, transform, names) if same_cells else "")
        if reason:
            found[column] = reason
    return found


def hidden_columns(unlearnable: Collection[int], n_markers: int) -> tuple[int, ...]:
    """Give the columns that an edit does not look at; none where it can learn no marker, and so edits nothing.

    Example:
        >>> hidden_columns({1: "no signal"}, n_markers=3), hidden_columns([0, 1, 2], n_markers=3)
        ((1,), ())
    """
    return tuple(unlearnable) if len(unlearnable) < n_markers else ()


def unmoved_columns(moved: Sequence[str] | None, markers: Sequence[str]) -> tuple[int, ...]:
    """Give the columns of the markers that edits may not move: all but those that are named, or none.

    Args:
        moved: The markers that edits may move (``edit.markers``); None for all.
        markers: Those of the panel.

    Raises:
        ConfigError: A name is not in the panel.

    Example:
        >>> unmoved_columns(["CD8"], ["CD4", "CD8", "CD19"]), unmoved_columns(None, ["CD4", "CD8"])
        ((0, 2), ())
    """
    if moved is None:
        return ()
    unknown = [marker for marker in moved if marker not in markers]
    if unknown:
        raise ConfigError(
            f"edit.markers: found {listing(unknown)}; expected markers of the panel, as the model sees it "
            f"({len(markers)} markers{nearest_name(unknown[0], markers)}). Correct the name."
        )
    return tuple(column for column, marker in enumerate(markers) if marker not in moved)


def by_marker(unlearnable: Mapping[int, str], markers: Sequence[str], without: Collection[int] = ()) -> dict[str, str]:
    """Name the markers of columns, each with its reason, without some columns.

    Example:
        >>> by_marker({1: "no signal"}, ["CD4", "CD8"])
        {'CD8': 'no signal'}
    """
    return {markers[column]: reason for column, reason in unlearnable.items() if column not in without}


def by_column(unlearnable: Mapping[str, str], markers: Sequence[str]) -> dict[int, str]:
    """Undo ``by_marker``.

    Raises:
        KeyError: There is no such marker.

    Example:
        >>> by_column({"CD8": "no signal"}, ["CD4", "CD8"])
        {1: 'no signal'}
    """
    columns = {marker: column for column, marker in enumerate(markers)}
    return {columns[marker]: reason for marker, reason in unlearnable.items()}


def hide(markers: Float32s, columns: Collection[int]) -> Float32s:
    """Put the mean in the place of some columns' values: (n_events, n_markers) standardised → the same shape.

    Example:
        >>> hide(np.ones((1, 3), np.float32), [1]).tolist()
        [[1.0, 0.0, 1.0]]
    """
    if not columns:
        return markers
    seen = markers.copy()
    seen[:, list(columns)] = 0
    return seen


def hide_tensor(markers: Tensor, columns: Collection[int]) -> Tensor:
    """Do what ``hide`` does, on the markers' device.

    Example:
        >>> hide_tensor(torch.ones(1, 3), [1]).tolist()
        [[1.0, 0.0, 1.0]]
    """
    return with_columns(markers, columns, torch.zeros_like(markers)) if columns else markers


def with_columns(markers: Tensor, columns: Collection[int], others: Tensor) -> Tensor:
    """Take some columns from other events of the same shape, (n_events, n_markers), bit for bit.

    Example:
        >>> with_columns(torch.ones(1, 3), [1], torch.zeros(1, 3)).tolist()
        [[1.0, 0.0, 1.0]]
    """
    if not columns:
        return markers
    chosen = torch.tensor([column in columns for column in range(markers.shape[1])], device=markers.device)
    return torch.where(chosen, others, markers)


def _constant(pair: tuple[Float64s, Float64s], transform: Transform, names: tuple[str, str]) -> str:
    """Say that a population's values are all one, or as good as one beside the other's; empty otherwise."""
    spreads = [_spread(transform.forward(values, np.float64)) for values in pair]
    constant = [
        f"{name!r} has no signal: {np.isclose(values, np.median(values)).mean():.1%} of its events are "
        f"at {np.median(values):.3g}"
        for name, values, spread in zip(names, pair, spreads, strict=True)
        if spread < MIN_MARKER_SPREAD
    ]
    if constant:
        return " and ".join(constant)
    narrow, wide = (0, 1) if spreads[0] < spreads[1] else (1, 0)
    if spreads[wide] <= MAX_STRETCH * spreads[narrow]:
        return ""
    return (
        f"{names[narrow]!r} has no signal: its spread is {spreads[narrow]:.2g} {transform.unit}, that of "
        f"{names[wide]!r} {spreads[wide]:.2g}, more than {MAX_STRETCH:g} times as much"
    )


def _spread(values: Floats) -> float:
    """The standard deviation of values, the outermost ``FEW`` at each end drawn in."""
    ordered, few = np.sort(values), int(FEW * len(values))
    return float(np.clip(values, ordered[few], ordered[-1 - few]).std())


def _lacking(pair: tuple[Float64s, Float64s], transform: Transform, names: tuple[str, str]) -> str:
    """Say that a population lacks the other's signal; empty otherwise."""
    dark, gain = 0.0, MAX_GAIN
    if isinstance(transform, Linear):  # such values have no zero of their own
        dark, gain = float(np.percentile(np.concatenate(pair), 1)), MAX_RISE
    for weak, strong in ((0, 1), (1, 0)):
        tails = _TAILS[_TAILS * min(map(len, pair)) >= MIN_EVENTS]
        heights = np.quantile(pair[strong], 1 - tails) - dark
        reached = (pair[weak] - dark > heights[:, None] / gain).mean(axis=1)
        parts = np.where(heights > 0, reached / tails, np.inf)
        worst = int(len(parts) - 1 - parts[::-1].argmin()) if len(parts) else 0
        if len(parts) and parts[worst] < MIN_REACH:
            return (
                f"{names[weak]!r} lacks the signal of {names[strong]!r}: {tails[worst]:.0%} of the events of "
                f"{names[strong]!r} are above {heights[worst] + dark:,.4g}, of its own {reached[worst]:.1%} above "
                f"{heights[worst] / gain + dark:,.4g} (a gain of {gain:g}; expected at least "
                f"{MIN_REACH * tails[worst]:.1%})"
            )
    return ""
