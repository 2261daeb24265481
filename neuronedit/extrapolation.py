"""The verdict on an extrapolation, from source, target and the events to be edited, without measured truth."""

from dataclasses import dataclass

NEW_KIND = 0.95
"""AUROC from which a population counts as a kind of cell that the source lacks: new donors of known kinds score about
0.5 to 0.6, unseen kinds more than this."""

MAX_REACH = 3.0
"""The largest ``reach`` to a new kind of cell that is not flagged: distance from the source in units of the effect.

Chosen on tasks with known truth: effects that transferred between kinds of cell were carried up to 2.1 times their
size, those that did not at least 3.3 times. None of 12 other effects that do not transfer was flagged.
"""


@dataclass(frozen=True)
class Extrapolation:
    """The distance of a population from the events that an edit was learned on.

    It is *flagged* if both hold: nearly every event is further from the source's events than these are from one
    another, and the population lies more than ``MAX_REACH`` times as far from the source as the target does. The
    first alone would flag effects that transfer between kinds of cell; the second alone a sample of known kinds
    in another mix, beside a small batch effect.

    Attributes:
        unsupported: Share of events with nothing like them in the source; among the source's own events it is 1 %.
        auroc: Chance that an event is further from the source than a source event is: 0.5 for further source events.
        distance: Mean over markers of the EMD source → events, standard deviations.
        effect: Mean over markers of the EMD source → target, standard deviations.
    """

    unsupported: float
    auroc: float
    distance: float
    effect: float

    @property
    def reach(self) -> float:
        """The population's distance from the source in units of the edit's effect; infinite without an effect."""
        return self.distance / self.effect if self.effect > 0 else float("inf")

    @property
    def new_kind(self) -> bool:
        """Whether nearly every event is unlike the source's events."""
        return self.auroc >= NEW_KIND

    @property
    def flagged(self) -> bool:
        """Whether the edit should not be trusted on this population without a measured truth."""
        return self.new_kind and self.reach > MAX_REACH

    @property
    def sentence(self) -> str:
        """The verdict in words."""
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
