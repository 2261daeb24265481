"""Scope: the populations that a model version was reviewed for and not for, and how far each is from what it learned.

A review writes it as a tag of the version; its seal is of the scope, too. A transform names it beside its own events.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from neuronedit.cells.design import INVERSE, Design, PairDesign
from neuronedit.cells.selection import Where, describe
from neuronedit.edits.support import Extrapolation
from neuronedit.errors import listing

log = logging.getLogger(__name__)

SCOPE_TAG: Final = "neuronedit.scope"

MAX_POPULATIONS: Final = 250
"""Populations that a scope keeps, those to beware of first: a tag holds 100,000 characters."""

NEVER: Final = "was never reviewed for any population"


@dataclass(frozen=True)
class ReviewedPopulation:
    """A population that a review held an edit against.

    Attributes:
        edit: The edit's name.
        name: The population, by its column values.
        n_events: Events that the review looked at.
        found: How far they are from the events that the edit was learned on.
        error: The edit's error on them, 0 for noise and 1 for doing nothing: measured, or estimated by leaving samples
            out; None where it is not known.
    """

    edit: str
    name: str
    n_events: int
    found: Extrapolation
    error: float | None = None

    @property
    def against(self) -> str:
        """What the review found against the edit here; empty where it is for this population."""
        if self.found.flagged:
            return f"{self.found.unsupported:.0%} unlike what the edit was learned on, and too far from it"
        if self.error is not None and self.error >= 1:
            return f"the edit leaves {self.error:.2f} of what there is to correct there"
        return ""

    @property
    def sentence(self) -> str:
        """Tell the population and what was found."""
        error = "error unknown" if self.error is None else f"error {self.error:.2f}"
        why = self.against or f"{self.found.unsupported:.0%} unsupported, {error}"
        return f"{self.name} ({self.n_events:,} events by {self.edit!r}: {why})"


@dataclass(frozen=True)
class Scope:
    """The populations that a version's last review held its edits against.

    Attributes:
        populations: The populations.
        n_others: How many more there were, which are not listed.

    Example:
        >>> near, far = Extrapolation(0.02, 0.55, 0.3, 1.0), Extrapolation(1.0, 1.0, 9.0, 1.0)
        >>> scope = Scope.of([ReviewedPopulation("pair", "cell_type = cd8+", 900, near),
        ...     ReviewedPopulation("pair", "cell_type = igm+", 800, far)])
        >>> scope.sentence
        "was reviewed for 'cell_type = cd8+', and found not to be for 'cell_type = igm+'"
        >>> Scope.from_tags({SCOPE_TAG: scope.to_json()}) == scope
        True
    """

    populations: tuple[ReviewedPopulation, ...] = ()
    n_others: int = 0

    @classmethod
    def of(cls, populations: list[ReviewedPopulation]) -> "Scope":
        """Make the scope of populations; of very many, those to beware of are listed."""
        kept = sorted(populations, key=lambda each: (not each.against, -each.found.auroc))[:MAX_POPULATIONS]
        return cls(tuple(each for each in populations if each in kept), len(populations) - len(kept))

    @property
    def reviewed_for(self) -> tuple[ReviewedPopulation, ...]:
        """The populations that nothing was found against."""
        return tuple(each for each in self.populations if not each.against)

    @property
    def not_for(self) -> tuple[ReviewedPopulation, ...]:
        """The populations that the review found the edit not to be for."""
        return tuple(each for each in self.populations if each.against)

    @property
    def sentence(self) -> str:
        """Say what the version was reviewed for, and not for."""
        if not self.populations:
            return NEVER
        good, bad = ({each.name: None for each in part} for part in (self.reviewed_for, self.not_for))
        others = f" (and {self.n_others} more)" if self.n_others else ""
        told = [f"was reviewed for {listing(good)}{others}"] if good else ["was reviewed"]
        return ", and ".join([*told, *([f"found not to be for {listing(bad)}"] if bad else [])])

    def facts(self) -> dict[str, list[str]]:
        """Give each population's sentence, for a manifest and for a lineage."""
        return {
            "reviewed for": [each.sentence for each in self.reviewed_for],
            "not for": [each.sentence for each in self.not_for],
        }

    def to_json(self) -> str:
        """Give the text that a tag holds."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> "Scope":
        """Read the scope from a version's tags; a damaged one counts as none, and the log has a warning."""
        try:
            facts = json.loads(tags.get(SCOPE_TAG, "{}"))
            return cls(tuple(map(_population, facts.get("populations", ()))), int(facts.get("n_others", 0)))
        except (ValueError, AttributeError, TypeError, LookupError, RecursionError) as error:
            log.warning(
                "the tag %s is damaged (%s): the version counts as reviewed for no population. Review it again.",
                SCOPE_TAG,
                type(error).__name__,
            )
            return cls()


NO_SCOPE: Final = Scope()
"""That of a folder, and of a version that was never reviewed."""


def source_name(design: Design, edit: str) -> str:
    """Name the events that an edit was learned on, by their column values.

    Example:
        >>> source_name(PairDesign(source={"cell_type": "cd4+"}, target={"drug": "PMA"}), "pair")
        'cell_type = cd4+'
    """
    if isinstance(design, PairDesign):
        return describe(design.target if edit.endswith(INVERSE) else design.source)
    batch = design.reference if edit.endswith(INVERSE) else edit
    return describe(_of_batch(design.batch_column, batch, design.control))


def extrapolation_name(design: Design, edit: str) -> str:
    """Name the events that a design names to be edited, by their column values.

    Example:
        >>> design = PairDesign(source={"cell_type": "cd4+"}, target={"drug": "PMA"}, extrapolation={"donor": "P2"})
        >>> extrapolation_name(design, "pair")
        'donor = P2'
    """
    if isinstance(design, PairDesign):
        return describe(design.extrapolation)
    return describe(_of_batch(design.batch_column, edit, design.extrapolation))


def _of_batch(column: str, batch: str, where: Where) -> Where:
    return {column: batch, **{name: value for name, value in where.items() if name != column}}


def _population(facts: Mapping[str, Any]) -> ReviewedPopulation:
    found = Extrapolation(**{name: float(number) for name, number in facts["found"].items()})
    error = None if facts["error"] is None else float(facts["error"])
    return ReviewedPopulation(str(facts["edit"]), str(facts["name"]), int(facts["n_events"]), found, error)
