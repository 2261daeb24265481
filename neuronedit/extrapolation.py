"""The verdict on an extrapolation, from source, target and the events to be edited alone: no truth is needed."""

from dataclasses import dataclass

NEW_KIND = 0.95
"""AUROC from which a population is a kind of cell that the source lacks: new donors of known kinds score about 0.5
to 0.6, unseen kinds more than this."""

MAX_REACH = 3.0
"""How many times further than its effect an edit may be carried to a new kind of cell.

Chosen on tasks with known truth: effects that transferred between kinds of cell were carried up to 2.1 times their
size, those that did not at least 3.3 times. Of 12 other effects that do not transfer none was flagged.
"""


@dataclass(frozen=True)
class Extrapolation:
    """How far a population lies from what an edit was learned on.

    It is *flagged* where both hold: nearly every event is further from the source's events than these are from one
    another, and the population lies more than ``MAX_REACH`` times as far from the source as the target does. The
    first alone would flag effects that transfer between kinds of cell; the second alone a sample of known kinds
    in another mix, beside a small batch effect.

    Attributes:
        unsupported: Share of events with nothing like them in the source; of the source's own, 1 %.
        auroc: Chance that an event is further from the source than a source event is: 0.5 for more of the source.
        distance: Mean over markers of the EMD source → events, standard deviations.
        effect: Mean over markers of the EMD source → target, standard deviations.
    """

    unsupported: float
    auroc: float
    distance: float
    effect: float

    @property
    def reach(self) -> float:
        """How many times further than its effect the edit is carried; infinite where there is no effect."""
        return self.distance / self.effect if self.effect > 0 else float("inf")

    @property
    def new_kind(self) -> bool:
        """Whether nearly every event is unlike the source's."""
        return self.auroc >= NEW_KIND

    @property
    def flagged(self) -> bool:
        """Whether the edit should not be trusted here without a measured truth."""
        return self.new_kind and self.reach > MAX_REACH

    @property
    def sentence(self) -> str:
        """The verdict, for a person."""
        found = f"AUROC {self.auroc:.2f}, {self.unsupported:.0%} of events unsupported"
        times = f"{self.reach:.1f} times as far from the source as the target is"
        if self.flagged:
            return (
                f"Do not trust the edit here: the source has hardly any event like these ({found}), and they lie "
                f"{times}. Learn it on a control of these cells, or measure some of them after the change."
            )
        if self.new_kind:
            return (
                f"Take care: the source has hardly any event like these ({found}), but they lie only {times}. "
                "Effects of this size have carried over to other kinds of cell."
            )
        return f"The source has events like these ({found})."
