"""The model card: what a version is for, in at most 20 lines of Markdown, for MLflow's descriptions.

A card is known by two comments, which MLflow's pages do not show, at the ends of its first and of its last line: what
a person writes above or below stays. Lists of versions show a description's first characters: they are the decision.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Final

from neuronedit.edits.baselines import NO_EDIT, QUANTILE_MAP
from neuronedit.measures.distances import DECISIVE, FLOOR
from neuronedit.model.edit_model import EditModel
from neuronedit.model.scope import ReviewedPopulation
from neuronedit.review.page.html import NEURONS_PAGE, PAGE
from neuronedit.review.page.report import Review
from neuronedit.review.page.sections import Section, sections
from neuronedit.review.transfer.transfer import NEURONEDIT

BEGIN: Final = "<!-- neuronedit's card begins -->"
END: Final = "<!-- neuronedit's card ends -->"

MAX_LINES: Final = 20
MAX_DESCRIPTION: Final = 5_000
"""Characters of a description that MLflow's database takes."""

MAX_ROWS: Final = 3
"""Comparisons in a card's table; the others are in the review's."""

MAX_RESTRICTIONS: Final = 3
MAX_REASONS, MAX_SENTENCE, MAX_NAME = 600, 280, 60
"""Characters of the reasons, of a sentence or list of populations, and of a comparison's name."""

ALIAS: Final = "champion"

MODEL_NOTE: Final = (
    "Versions of an edit of cells, made by neuronedit. The description of each version is its card: whether it "
    "was reviewed, for which cells and for which not, and the commands to use it. Aliases are moved by `neuronedit "
    f"promote`, which asks for the review.{BEGIN}{END}"
)
"""The description of a registered model that nobody has described."""

_CARD: Final = re.compile(f"^[^\n]*{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL | re.MULTILINE)

_SPACE: Final = "&nbsp;&nbsp;"
"""Keeps the columns of a table apart, which MLflow's pages draw without any space between."""

_UNDERLINED: Final = "---"
"""Makes the line above it a title."""


def review_card(review: Review, uri: str, folder: str = "review") -> str:
    """Write the card of a reviewed model: the decision, its scope, its restrictions, its numbers, and commands.

    Args:
        review: The review.
        uri: The model's ``models:/NAME/VERSION``; a folder's card has no commands.
        folder: The artifacts' folder of the review's page.

    Example:
        >>> from neuronedit.review.page.review_model import example_review
        >>> print(review_card(example_review(), "models:/batches/3").splitlines()[0])
        ◆ Do not use it yet on other cells: measure first.
    """
    decision = review.decision
    remedy = f" **Next:** {_plain(decision.remedy, MAX_SENTENCE)}" if decision.remedy else ""
    alone = (
        " (nothing was found against these; the decision above holds all the same)" if decision.tone == "red" else ""
    )
    restrictions = [f"- {_plain(each, MAX_SENTENCE)}" for each in review.restrictions[:MAX_RESTRICTIONS]]
    stands = bool(review.gates) and all(gate.outcome == "pass" for gate in review.gates) and not review.lost
    lines = [
        _plain(decision.headline, MAX_SENTENCE),
        _UNDERLINED,
        f"{_plain(decision.why, MAX_REASONS)}{remedy}",
        "",
        f"- **Reviewed for:** {_populations(review.scope.reviewed_for, 'no cells')}{alone}",
        f"- **Not for:** {_populations(review.scope.not_for, 'none of the cells that were looked at')}",
        *restrictions,
        "",
        *_table(sections(review), review.markers["marker"].nunique()),
        "",
        f"- **The page:** artifacts of the review's run, `{folder}/{PAGE}`; `{folder}/{NEURONS_PAGE}` has the neurons.",
        *_commands(uri, stands=stands),
    ]
    return "\n".join(lines)


def training_card(model: EditModel, uri: str, data: str) -> str:
    """Write the card of a version that is new.

    Args:
        model: The model.
        uri: Its ``models:/NAME/VERSION``.
        data: The URI of the events that it learned from.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> print(training_card(example_model(), "models:/batches/3", "cells").splitlines()[-1])
        - **Review it:** `neuronedit review --model models:/batches/3 --set data.path=cells --output review`, with
        samples held out.
    """
    edits = _plain(", ".join(model.edits), MAX_SENTENCE)
    command = f"neuronedit review --model {_code(uri)} --set data.path={_code(data)} --output review"
    lines = [
        "◆ Not reviewed yet: nothing says on which cells it may be used.",
        _UNDERLINED,
        f"Edits of {model.panel.n_markers} markers: {edits}. Learned from: {_plain(data, MAX_SENTENCE)}.",
        "",
        f"- **Review it:** `{command}`, with samples held out.",
    ]
    return "\n".join(lines)


def closed(card: str, reviewed: str = "", run: str = "") -> str:
    """Mark a card as ours by its comments, and add a last line on who writes it, and of which review it is.

    Example:
        >>> print(closed("Use it.", "2026-12-01 by ada", "run 1"))
        Use it.<!-- neuronedit's card begins -->
        - *Review of 2026-12-01 by ada, run 1. Each review writes this card anew; text above or below it stays.*<!--
        neuronedit's card ends -->
    """
    of = f"Review of {_plain(reviewed, MAX_SENTENCE)}, {run}. " if reviewed else ""
    last = f"- *{of}Each review writes this card anew; text above or below it stays.*"
    first, *others = card.split("\n")
    return "\n".join([f"{first}{BEGIN}", *others, f"{last}{END}"])


def with_card(text: str | None, card: str) -> str:
    """Put a card into a description: in the place of an earlier one, else below what a person wrote.

    Where both are too long for MLflow, the person's text stays and the card is cut.

    Args:
        text: The description so far.
        card: The card, with its comments.

    Example:
        >>> first = with_card("Mine.", closed("Not reviewed yet."))
        >>> with_card(first, closed("Use it.")).splitlines()[:3]
        ['Mine.', '', "Use it.<!-- neuronedit's card begins -->"]
    """
    text = text or ""
    own = _CARD.sub("", text)
    room = MAX_DESCRIPTION - len(own) - len("\n\n")
    if len(card) > room:
        head = card[: max(room - len(END) - 2, 0)]
        card = f"{head}…{END}" if BEGIN in head else ""
    if _CARD.search(text):
        return _CARD.sub(lambda _: card, text, count=1)
    return "\n\n".join(filter(None, (text.rstrip(), card)))


def is_ours(text: str) -> bool:
    """Tell whether a description is a card alone, with no text of a person's.

    Example:
        >>> is_ours(closed("Use it.")), is_ours("Mine.")
        (True, False)
    """
    return bool(text.strip()) and not _CARD.sub("", text).strip()


def _table(found: Sequence[Section], n_markers: int) -> Iterator[str]:
    """A row for each comparison: each distance by doing nothing, the edit, the quantile map, and its floor."""
    columns = [f"{metric.title}: no edit → edited | {_SPACE}map | {_SPACE}floor" for metric in DECISIVE]
    yield f"| cells | {_SPACE}{f' | {_SPACE}'.join(columns)} | {_SPACE}markers worse |"
    yield "|---|" + "---|" * (3 * len(DECISIVE) + 1)
    shown = found if len(found) <= MAX_ROWS else found[: MAX_ROWS - 1]
    for section in shown:
        numbers = [*_scores(section), f"{section.markers_worse} of {n_markers}"]
        yield f"| {f' | {_SPACE}'.join([_name(section), *numbers])} |"
    if rest := len(found) - len(shown):
        yield f"| {rest} more, in summary.csv |" + " |" * (3 * len(DECISIVE) + 1)


def _name(section: Section) -> str:
    return f"{_plain(section.verdict.comparison, MAX_NAME)} ({section.verdict.kind})"


def _scores(section: Section) -> Iterator[str]:
    for metric in DECISIVE:
        before, after, by_map, floor = (
            section.score(method, metric.name) for method in (NO_EDIT, NEURONEDIT, QUANTILE_MAP, FLOOR)
        )
        yield f"{before:.3f} → **{after:.3f}**&nbsp;±&nbsp;{section.interval(metric.name):.3f}"
        yield from (f"{by_map:.3f}", f"{floor:.3f}")


def _commands(uri: str, *, stands: bool) -> Iterator[str]:
    """Commands to promote a version, to apply it, and to go back to the one before; none for a folder."""
    name, _, version = uri.removeprefix("models:/").rpartition("/")
    if not uri.startswith("models:/") or not version.isdigit():
        return
    promote = f"neuronedit promote {_code(name)} {{}} --alias {ALIAS}"
    override = "" if stands else ' --override "reason"'
    yield f"- **Promote it{'' if stands else ', against its checks'}:** `{promote.format(version)}{override}`"
    apply = f"neuronedit transform --model models:/{_code(name)}@{ALIAS} --set data.path=CELLS --output EDITED"
    back = f"; **go back:** `{promote.format(int(version) - 1)}`" if int(version) > 1 else ""
    yield f"- **Apply it:** `{apply}`{back}"


def _populations(populations: Sequence[ReviewedPopulation], none: str) -> str:
    names = ", ".join(dict.fromkeys(each.name for each in populations))
    return _plain(names, MAX_SENTENCE) or none


def _plain(text: str, limit: int) -> str:
    """One line of text that Markdown shows as it is, cut where it is longer than the limit."""
    line = " ".join(text.split())
    line = line if len(line) <= limit else f"{line[: limit - 1].rstrip()}…"
    return re.sub(r"([\\`*\[\]|])", r"\\\1", line.replace("&", "&amp;").replace("<", "&lt;"))


def _code(text: str) -> str:
    """Text for within a code span and a shell: quoted where it has more than a name or path has."""
    return shlex.quote(" ".join(text.split()).replace("`", ""))
