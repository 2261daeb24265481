"""The sample of events whose support is scored, drawn while events stream past: some of each edit, all of a small one.

Events are held until a part of the input has passed, since only then it is known how few suffice.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from neuronedit.arrays import Float32s, Int64s
from neuronedit.model.edit_model import EditModel
from neuronedit.model.quality.counting import N_LEVELS
from neuronedit.model.quality.table import edits_of
from neuronedit.model.quality.tally import Levels, Tally, levels
from neuronedit.model.route import Route
from neuronedit.network.autoencoder import tensor

ENOUGH: Final = 500
"""Events of a group in a part of the input that are scored at least; all, where there are fewer."""


ROOM: Final = 5 * ENOUGH
"""Rows that are held before it is looked which are needed."""


class Held:
    """Events of one group, among them all from the highest level on that ``ENOUGH`` of them have.

    Attributes:
        level: From this level on all events are held.
    """

    def __init__(self, level: int = 0) -> None:
        """Hold nothing, and never what is below a level."""
        self.level = level
        self._pieces: list[tuple[Float32s, Levels, Int64s]] = []
        self._n_rows, self._room = 0, ROOM

    def add(self, rows: Float32s, own: Levels, repeats: Int64s | None = None) -> None:
        """Hold further events.

        Args:
            rows: (n_rows, n_markers) float32.
            own: (n_rows,) uint8, the rows' own levels.
            repeats: (n_rows,) int64, how often each event came; None for once.
        """
        kept = np.flatnonzero(own >= self.level)
        if len(kept):
            often = np.ones(len(kept), np.int64) if repeats is None else repeats[kept]
            self._pieces.append((rows[kept], own[kept], often))
            self._n_rows += len(kept)
            if self._n_rows > self._room:
                self._let_go()

    def needed(self) -> tuple[Float32s, Levels, Int64s] | None:
        """Let go of events that are not needed, and give the others (see ``add``); None where there are none."""
        if not self._pieces:
            return None
        rows, own, repeats = (np.concatenate(parts) for parts in zip(*self._pieces, strict=True))
        of_level = np.bincount(own, repeats, N_LEVELS)
        enough = np.flatnonzero(np.cumsum(of_level[::-1])[::-1] >= ENOUGH)
        self.level = max(self.level, int(enough[-1]) if len(enough) else 0)
        kept = own >= self.level
        self._pieces, self._n_rows = [(rows[kept], own[kept], repeats[kept])], int(kept.sum())
        return self._pieces[0]

    def _let_go(self) -> None:
        """Make room; where events repeat themselves, hold one of each: a file may have one event millions of times."""
        needed = self.needed()
        if needed is not None and self._n_rows > self._room // 2:
            rows, own, repeats = needed
            bits = np.ascontiguousarray(rows).view(np.uint32)  # what levels are drawn by: 0 is not -0
            _, first, number = np.unique(bits, axis=0, return_index=True, return_inverse=True)
            counted = np.bincount(number.ravel(), repeats, len(first)).astype(np.int64)
            self._pieces, self._n_rows = [(rows[first], own[first], counted)], len(first)
            self._room = max(ROOM, 4 * len(first))


class SupportSample:
    """The sample of one part of the input, group by group.

    Example:
        >>> from neuronedit.model.example import example_batches, example_cells
        >>> model = example_batches()
        >>> sample, tally = SupportSample(), Tally(model.scaling.zeros)
        >>> sample.observe("day1", model.standardised(example_cells()))
        >>> sample.score(tally, model, Route())
        >>> tally.groups["day1"].scored[0]
        400
    """

    def __init__(self) -> None:
        """Hold nothing."""
        self._held: dict[str, Held] = {}

    def following(self) -> "SupportSample":
        """Make the sample of further events, which leaves out those that this one would not hold, either."""
        following = SupportSample()
        following._held = {group: Held(held.level) for group, held in self._held.items()}
        return following

    def observe(self, group: str, before: Float32s) -> None:
        """Hold some events of a group, (n_events, n_markers), standardised."""
        self._held.setdefault(group, Held()).add(before, levels(before))

    def add(self, other: "SupportSample") -> None:
        """Hold the other's events, too."""
        for group, held in other._held.items():
            mine, needed = self._held.setdefault(group, Held()), held.needed()
            mine.level = max(mine.level, held.level)
            if needed is not None:
                mine.add(*needed)

    def score(self, tally: Tally, model: EditModel, route: Route) -> None:
        """Score the events that are needed, count them in a tally, and hold nothing any more."""
        for group, held in self._held.items():
            needed = held.needed()
            if needed is None:
                continue
            rows, own, repeats = needed
            finite = np.isfinite(rows).all(axis=1)
            if finite.any():
                support = model.get_edit(edits_of(group, model, route)[0]).support
                scores, often = support.scores(tensor(rows[finite])).numpy(), repeats[finite]
                tally.observe_support(group, scores.repeat(often), own[finite].repeat(often), held.level)
        self._held.clear()


@dataclass(frozen=True)
class QualityObserver:
    """Tallies events group by group, and holds a sample of those whose support is not scored by the transform itself.

    Example:
        >>> from neuronedit.model.example import example_batches, example_cells
        >>> model = example_batches()
        >>> observe = QualityObserver(Tally(model.scaling.zeros), SupportSample(), model, Route())
        >>> markers = model.standardised(example_cells())
        >>> observe("day1", markers, markers + 1, None)
        >>> observe.tally.groups["day1"].n_events
        400

    Attributes:
        tally: The tally to add to.
        sample: The sample to add to.
        model: The model that is applied.
        route: The edits that the events get.
    """

    tally: Tally
    sample: SupportSample
    model: EditModel
    route: Route

    def __call__(self, group: str, before: Float32s, after: Float32s, support: Float32s | None) -> None:
        """Count some events (see ``EditModel.transform``)."""
        self.tally.observe(group, before, after, support)
        if support is None and edits_of(group, self.model, self.route):
            self.sample.observe(group, before)
