"""The fidelity gate: a student serves in its teacher's place where, by measurement, it makes the same of events."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from neuronedit.arrays import Float32s, Float64s

MAX_EMD_EXCESS = 0.05
"""The most by which a student's mean EMD to the target may exceed its teacher's, as a share of that before the edit."""

MAX_MARKER_EXCESS = 0.15
"""The same for the worst marker."""

MAX_ENERGY_EXCESS = 0.02
"""The same for the energy distance, which is squared: a fifth as much of it is as much of a shift."""

MAX_ERROR = 0.5
"""The largest mean error of a student's change on the events to be edited, as a share of the mean change."""

MAX_SPURIOUS = 0.05
"""The largest mean change, in standard deviations, of a marker that the teacher moves by less than half of it."""

MAX_BEYOND = 2.0
"""The largest change of events far beyond the source, in units of the teacher's largest."""

MIN_CORRECTED = 0.2
"""What there was to correct counts as this much at least, in standard deviations: less is noise. Random halves of some
hundred events differ by 0.03 to 0.15."""

FAR = 10.0
"""Events are taken so many times as far from the mean to see that a change is bounded."""

Change = Callable[[Float32s], Float32s]
"""What an edit makes of standardised events: (n_events, n_markers) → the same shape."""


@dataclass(frozen=True)
class Fidelity:
    """How near a student comes to its teacher, in standard deviations of the markers.

    Distances are from source events that the student did not learn from to the target: before, as the teacher edits
    them, and as the student does.

    Attributes:
        n_events: The number of these events.
        emd: The mean over markers of the EMD: before, by the teacher, by the student.
        energy: The energy distance of all markers jointly: before, by the teacher, by the student.
        worst_excess: The largest excess of a marker's EMD by the student over that by the teacher, as a share of the
            marker's EMD before.
        worst_marker: The column of that marker.
        source_error: The mean error of the student's change on these events, as a share of the teacher's mean change.
        events_error: The same on the events to be edited; None where none are known.
        spurious: The largest mean change by the student of a marker that the teacher does not move; 0 if there is none.
        beyond: The student's largest change of events far beyond the source, in units of the teacher's largest of them
            or of the source's own.

    Example:
        >>> found = Fidelity(500, (0.6, 0.05, 0.06), (1.5, 0.02, 0.03), 0.04, 3, 0.08, None, 0.0, 1.1)
        >>> found.passes, Fidelity.from_facts(found.facts()) == found
        (True, True)
    """

    n_events: int
    emd: tuple[float, float, float]
    energy: tuple[float, float, float]
    worst_excess: float
    worst_marker: int
    source_error: float
    events_error: float | None
    spurious: float
    beyond: float

    def numbers(self, markers: Sequence[str] = ()) -> dict[str, tuple[float, float]]:
        """Each number that decides, and the most that it may be, by what it is in words.

        Args:
            markers: (n_markers,) names; by default the worst marker is told by its place, from 1.
        """
        worst = repr(markers[self.worst_marker]) if markers else f"marker {self.worst_marker + 1}"
        found = {
            "excess of the mean EMD to the target": (_excess(self.emd), MAX_EMD_EXCESS),
            "excess of the energy distance to the target": (_excess(self.energy), MAX_ENERGY_EXCESS),
            f"excess of the EMD of {worst}": (self.worst_excess, MAX_MARKER_EXCESS),
            "change of markers that the teacher does not move": (self.spurious, MAX_SPURIOUS),
            "change far beyond the source, in units of the teacher's": (self.beyond, MAX_BEYOND),
        }
        if self.events_error is None:
            return found
        return found | {"error of the change on the events to be edited": (self.events_error, MAX_ERROR)}

    def reasons(self, markers: Sequence[str] = ()) -> tuple[str, ...]:
        """What speaks against the student; nothing where it may serve. A number that is none speaks against it, too."""
        return tuple(
            f"{name} {found:.2f}; expected at most {most:g}"
            for name, (found, most) in self.numbers(markers).items()
            if not found <= most
        )

    @property
    def passes(self) -> bool:
        """Whether the student may serve."""
        return not self.reasons()

    def sentence(self, markers: Sequence[str] = ()) -> str:
        """Say the outcome in words.

        Args:
            markers: As in ``numbers``.

        Example:
            >>> worse = Fidelity(500, (0.6, 0.05, 0.06), (1.5, 0.02, 0.03), 0.2, 1, 0.08, None, 0.0, 1.1)
            >>> worse.sentence(("CD3", "CD4"))
            "the teacher serves it, its student is not as good: excess of the EMD of 'CD4' 0.20; expected at most 0.15"
        """
        found = f"EMD to the target {self.emd[2]:.3f} by the student, {self.emd[1]:.3f} by its teacher"
        if self.passes:
            return f"a student serves it ({found}, {self.emd[0]:.3f} before)"
        return f"the teacher serves it, its student is not as good: {'; '.join(self.reasons(markers))}"

    def facts(self) -> dict[str, Any]:
        """Give the numbers as JSON values."""
        return asdict(self)

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """Restore a fidelity from its ``facts``."""
        return cls(**{**facts, **{name: tuple(facts[name]) for name in ("emd", "energy")}})


def measure_fidelity(
    teacher: Change, student: Change, source: Float32s, target: Float32s, events: Float32s | None = None, seed: int = 0
) -> Fidelity:
    """Compare what student and teacher make of source events that neither's numbers here were fitted on.

    Args:
        teacher: Edits standardised events.
        student: Does the same, faster.
        source: (n_source, n_markers) float32, standardised: events that the student did not learn from.
        target: (n_target, n_markers) float32, standardised.
        events: (n_events, n_markers) float32, standardised, to be edited; None where none are known.
        seed: Draws events for the energy distance, and the directions of events far beyond.

    Example:
        >>> source = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
        >>> found = measure_fidelity(lambda x: x + 1, lambda x: x + np.float32(1.1), source, source + 1)
        >>> round(found.source_error, 2), found.passes
        (0.1, False)
    """
    # Metrics need SciPy, which is not installed where a model is only applied.
    from neuronedit.measures.distances import emd
    from neuronedit.measures.pairs import energy_distance

    edited = [source, teacher(source), student(source)]
    distances = [emd(each, target) for each in edited]
    excess = (distances[2] - distances[1]) / np.maximum(distances[0], MIN_CORRECTED)
    moved = [_mean_change(each, source) for each in edited[1:]]
    still = moved[0] < MAX_SPURIOUS / 2
    signs = np.random.default_rng(seed).choice([-1, 1], source.shape)
    far = (FAR * np.abs(source) * signs).astype(np.float32)
    return Fidelity(
        len(source),
        _three(*(float(each.mean()) for each in distances)),
        _three(*(energy_distance(each, target, seed) for each in edited)),
        float(excess.max()),
        int(excess.argmax()),
        _error(edited[1] - source, edited[2] - source),
        None if events is None else _error(teacher(events) - events, student(events) - events),
        float(moved[1][still].max(initial=0)),
        _largest(student(far) - far) / max(_largest(edited[1] - source), _largest(teacher(far) - far), MIN_CORRECTED),
    )


def _three(before: float, teacher: float, student: float) -> tuple[float, float, float]:
    return before, teacher, student


def _excess(distances: tuple[float, float, float]) -> float:
    before, teacher, student = distances
    return (student - teacher) / max(before, MIN_CORRECTED)


def _mean_change(edited: Float32s, events: Float32s) -> Float64s:
    return np.abs(edited - events).mean(axis=0, dtype=np.float64)


def _error(teacher: Float32s, student: Float32s) -> float:
    size = np.abs(teacher).mean(dtype=np.float64)
    return float(np.abs(student - teacher).mean(dtype=np.float64) / max(size, MIN_CORRECTED))


def _largest(change: Float32s) -> float:
    return float(np.abs(change).max(initial=0))
