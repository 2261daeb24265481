"""One of two models that are compared, with its registry's and its run's facts; and what the two differ in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from neuronedit.model.edit_model import EditModel
from neuronedit.model.example import example_model
from neuronedit.model.gates import MARKS, Tone
from neuronedit.review.page.model_facts import model_facts
from neuronedit.review.transfer.transfer import Comparison


@dataclass(frozen=True)
class Contender:
    """One of the two models, with the facts of its registry and its run.

    Attributes:
        name: ``models:/NAME/VERSION`` or a folder.
        model: Loaded.
        settings: Settings of its training, by ``section.key``; empty where they are not known.
        gates: Each gate's text; empty where it was not reviewed.
        scalars: Numbers of its review; empty where it was not reviewed.
        verdict: The decision of its review, with its sign, in a sentence or more; empty where it was not reviewed.
        measured_on: The events that the numbers of its review were measured on; empty where they are not known.
    """

    name: str
    model: EditModel
    settings: Mapping[str, str]
    gates: Mapping[str, str]
    scalars: Mapping[str, float]
    verdict: str = ""
    measured_on: str = ""

    @property
    def decision(self) -> tuple[str, Tone]:
        """The decision of its review, and its colour."""
        if not self.verdict:
            return f"{MARKS['amber']} No review stands: nothing says on which cells it may be used.", "amber"
        return self.verdict, next((tone for tone, mark in MARKS.items() if self.verdict.startswith(mark)), "amber")


def example_contenders() -> tuple[Contender, Contender]:
    """Give the same model under two names, neither reviewed.

    Example:
        >>> [each.name for each in example_contenders()]
        ['one', 'two']
    """
    one, two = (Contender(name, example_model(), {}, {}, {}) for name in ("one", "two"))
    return one, two


def differences(first: Contender, second: Contender) -> dict[str, pd.DataFrame]:
    """List unlike values of two models by subject (facts, settings, scalars): columns what, first, second.

    Example:
        >>> one, two = example_contenders()
        >>> {subject: len(table) for subject, table in differences(one, two).items()}
        {'facts': 0, 'settings': 0, 'scalars': 0}
    """
    subjects = {
        "facts": (model_facts(first.model), model_facts(second.model)),
        "settings": (first.settings, second.settings),
        "scalars": (first.scalars, second.scalars) if _same_cells(first, second) else ({}, {}),
    }
    return {subject: _unlike(*pair) for subject, pair in subjects.items()}


def _same_cells(first: Contender, second: Contender) -> bool:
    """Whether both reviews were held against the same truth: numbers of different cells do not compare models."""
    return first.measured_on == second.measured_on != ""


def gates_of_both(first: Contender, second: Contender) -> pd.DataFrame:
    """List every gate that either model has: columns gate, first, second.

    Example:
        >>> gates_of_both(*example_contenders())["gate"].tolist()
        []
    """
    names = dict.fromkeys([*first.gates, *second.gates])
    rows = [{"gate": name, "first": first.gates.get(name), "second": second.gates.get(name)} for name in names]
    return pd.DataFrame(rows, columns=["gate", "first", "second"])


def _unlike(first: Mapping[str, object], second: Mapping[str, object]) -> pd.DataFrame:
    rows = [
        {"what": what, "first": first.get(what), "second": second.get(what)}
        for what in dict.fromkeys([*first, *second])
        if first.get(what) != second.get(what)
    ]
    return pd.DataFrame(rows, columns=["what", "first", "second"])


def notes(first: Contender, second: Contender, comparisons: Sequence[Comparison], shared: Sequence[str]) -> list[str]:
    """Tell what a reader of the comparison must know.

    Args:
        first: The model whose design chose the events.
        second: The other.
        comparisons: Events with their truth.
        shared: The markers that both models have.

    Example:
        >>> notes(*example_contenders(), [], ["CD3", "CD4", "pSTAT1"])
        []
    """
    told = []
    only = [
        f"{marker} ({each.name})"
        for each, other in ((first, second), (second, first))
        for marker in each.model.panel.markers
        if marker not in other.model.panel.markers
    ]
    if only:
        told.append(f"Distances are on the {len(shared)} markers that both models have, without {', '.join(only)}.")
    edits = sorted({each.edit for each in comparisons if each.edit not in second.model.edits})
    if edits:
        told.append(f"{second.name} has no edit for {', '.join(edits)}: not compared.")
    if first.model.design != second.model.design:
        told.append(
            f"The designs differ. The events are those that {first.name}'s design chooses: a training pair is one of "
            f"{first.name}, and may be new to {second.name}."
        )
    if first.scalars and second.scalars and not _same_cells(first, second):
        told.append(
            "Numbers of their reviews are not compared, as these are not known to be of the same events: "
            f"{first.name} on {first.measured_on or 'unknown ones'}; {second.name} on "
            f"{second.measured_on or 'unknown ones'}."
        )
    return told
