"""Unsupported events: edits whose events are unlike what they were learned on, told beside what the model is for."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from neuronedit.arrays import Float32s
from neuronedit.cells.selection import Where, describe
from neuronedit.errors import ModelError
from neuronedit.model.edit_model import EditModel
from neuronedit.model.quality.table import edits_of
from neuronedit.model.route import Route
from neuronedit.model.scope import NO_SCOPE, ReviewedPopulation, Scope, source_name
from neuronedit.network.autoencoder import tensor

MAX_TOLD: Final = 5
"""Edits that are told of at length; the manifest has all."""


@dataclass(frozen=True)
class EditSupport:
    """How many of the events that get an edit are unlike those that it was learned on.

    Attributes:
        group: The events: those of one ``batch_id``, or of the edits' names.
        edit: The edit that they get, or the first of several.
        share: The share of events with nothing like them.
        n_scored: Events that were looked at.
        n_events: All events that get the edit; None where they were not counted.
    """

    group: str
    edit: str
    share: float
    n_scored: int
    n_events: int | None = None


@dataclass(frozen=True)
class Application:
    """The use of a model on some events.

    Attributes:
        uri: The model's.
        model: The model.
        route: The edits that events get.
        where: Column values of the events that are edited; empty for all.
        scope: The populations that the model was reviewed for.
        find_values: Finds column values of the input, of columns that name the model's populations; called at most
            once, where events are to be named that ``where`` does not name.
    """

    uri: str
    model: EditModel
    route: Route
    where: Where = field(default_factory=dict)
    scope: Scope = NO_SCOPE
    find_values: Callable[[], Where] = dict

    @cached_property
    def _values(self) -> Where:
        return self.find_values()

    def name(self, group: str) -> str:
        """Name a group's events by their column values."""
        if self.model.batch_column and not self.route.edits:
            return describe({self.model.batch_column: group, **self.where})
        return describe(self.where or self._values)

    def sentence(self, found: EditSupport) -> str:
        """Say how many events of an edit are unsupported, and what the model was reviewed for.

        Example:
            >>> from neuronedit.model.example import example_model
            >>> use = Application("models:/pma/1", example_model(), Route(), {"cell_type": "igm+"})
            >>> use.sentence(EditSupport("pair", "pair", 0.54, 500, 2_000))
            "54% of the 2,000 events of cell_type = igm+ (500 were looked at) have nothing like them among the events
            that the edit 'pair' was learned on (...). Do not trust the edit on them: learn it on a control of these
            cells, or measure some of them after the change. models:/pma/1 was never reviewed for any population; these
            are cell_type = igm+."
        """
        name = self.name(found.group)
        of_all = "the events" if found.n_events is None else f"the {found.n_events:,} events"
        return (
            f"{found.share:.0%} of {of_all} of {name} ({found.n_scored:,} were looked at) have nothing like them among "
            f"the events that the edit {found.edit!r} was learned on ({source_name(self.model.design, found.edit)}). "
            "Do not trust the edit on them: learn it on a control of these cells, or measure some of them after the "
            f"change. {self.uri} {self._reviewed(found, name)}"
        )

    def expected(self, found: EditSupport) -> float:
        """The share of unsupported events that is no news, as the review knows the error on such events; mostly 0."""
        known = self._known(found.edit, self.name(found.group)) if self.scope.populations else None
        return known.found.unsupported if known and known.error is not None and not known.against else 0.0

    def _known(self, edit: str, name: str) -> ReviewedPopulation | None:
        return next((each for each in self.scope.populations if (each.edit, each.name) == (edit, name)), None)

    def _reviewed(self, found: EditSupport, name: str) -> str:
        known = self._known(found.edit, name)
        if known is None:
            return f"{self.scope.sentence}; these are {name}."
        if known.against:
            return f"was found by its review not to be for these: {known.against}."
        unknown = " The edit's error on them is not known." if known.error is None else ""
        return f"was reviewed for such events, of which {known.found.unsupported:.0%} had nothing like them.{unknown}"


def measured_support(quality: Mapping[str, Any], model: EditModel, route: Route) -> list[EditSupport]:
    """Read the support of each edit that changes something from a transform's quality, the least supported first.

    Args:
        quality: The quality of each group (see ``manifest_facts``).
        model: The model.
        route: The edits that events got.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> measured_support({"pair": {"unsupported": 0.5, "scored": 2, "events": 9}}, example_model(), Route())
        [EditSupport(group='pair', edit='pair', share=0.5, n_scored=2, n_events=9)]
    """
    found = [
        EditSupport(group, edit, facts["unsupported"], facts["scored"], facts["events"])
        for group, facts in quality.items()
        if facts["unsupported"] is not None
        for edit in _changing(group, model, route)
    ]
    return sorted(found, key=lambda each: -each.share)


def score_support(drawn: Mapping[str, Float32s], model: EditModel, route: Route) -> list[EditSupport]:
    """Score the support of drawn events, the least supported first.

    Args:
        drawn: Raw intensities, (n_events, n_markers) each, by group.
        model: The model.
        route: The edits that these events are to get.

    Example:
        >>> from neuronedit.model.example import example_cells, example_model
        >>> [found] = score_support({"pair": example_cells(seed=2)}, example_model(), Route())
        >>> found.edit, found.share < 0.1
        ('pair', True)
    """
    found = []
    for group, intensities in drawn.items():
        for edit in _changing(group, model, route):
            scores = model.get_edit(edit).support.scores(tensor(model.standardised(intensities))).numpy()
            found.append(EditSupport(group, edit, float((scores > 1).mean()), len(scores)))
    return sorted(found, key=lambda each: -each.share)


def check_unsupported(found: Sequence[EditSupport], limit: float | None, use: Application, where: str) -> None:
    """Check that no edit has more unsupported events than may be.

    Args:
        found: The support of each edit, the least supported first.
        limit: The largest share that may be; None for any.
        use: The model and the events.
        where: The place and the state of the output, for the message.

    Raises:
        ModelError: An edit has more.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> use = Application("models:/pma/1", example_model(), Route(), {"cell_type": "igm+"})
        >>> check_unsupported([EditSupport("pair", "pair", 0.05, 500)], 0.2, use, "edited")
    """
    beyond = [each for each in found if limit is not None and each.share > limit]
    if beyond:
        others = f" Other edits with more than that: {len(beyond) - 1}." if len(beyond) > 1 else ""
        raise ModelError(
            f"{where}: expected at most {limit:.0%} of an edit's events to be unlike those that it was learned on "
            f"(max_unsupported = {limit:g}). {use.sentence(beyond[0])}{others} Leave these events out, use a model "
            "that is for them, or set a higher max_unsupported with resume = true."
        )


def scope_facts(found: Sequence[EditSupport], warn_above: float, use: Application) -> dict[str, Any]:
    """Give the manifest's facts: what the model was reviewed for, and a warning of each edit above a share.

    Args:
        found: The support of each edit, the least supported first.
        warn_above: The share of unsupported events above which an edit is warned of; on a population that the model
            was reviewed for, beyond the share that the review found.
        use: The model and the events.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> use = Application("models:/pma/1", example_model(), Route())
        >>> scope_facts([EditSupport("pair", "pair", 0.05, 500)], 0.1, use)
        {'reviewed for': [], 'not for': [], 'warnings': []}
    """
    beyond = [each for each in found if each.share > warn_above + use.expected(each)]
    return {**use.scope.facts(), "warnings": [use.sentence(each) for each in beyond]}


def told_warnings(scope: Mapping[str, Any]) -> Iterator[str]:
    """Yield the warnings of ``scope_facts`` for a person: the first few, and how many more there are.

    Example:
        >>> list(told_warnings({"warnings": [f"edit {number}" for number in range(7)]}))[-2:]
        ['edit 4', '2 more edits have as many such events: see "scope" in the manifest.']
    """
    warnings = scope.get("warnings", [])
    yield from warnings[:MAX_TOLD]
    if len(warnings) > MAX_TOLD:
        yield f'{len(warnings) - MAX_TOLD} more edits have as many such events: see "scope" in the manifest.'


def _changing(group: str, model: EditModel, route: Route) -> tuple[str, ...]:
    """The edit by which a group's support is judged; none where its events pass, or no edit changes anything."""
    names = edits_of(group, model, route)
    return names[:1] if any(model.get_edit(name).members for name in names) else ()
