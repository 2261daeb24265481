"""What came of a normalisation, in a few plain sentences for the person who asked for it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neuronedit.adapters.fcs.sample_sheet import SheetRow
from neuronedit.adapters.files.dataset import EventDataset
from neuronedit.adapters.normalise.roles import BATCH
from neuronedit.adapters.sampling.populations import draw_populations
from neuronedit.cells.draw import SampleConfig
from neuronedit.cells.selection import EventChoice
from neuronedit.edits.support import Extrapolation
from neuronedit.errors import listing
from neuronedit.model.edit_model import EditModel
from neuronedit.model.gates import GATES
from neuronedit.model.standing import Standing

SAMPLE = "sample_id"

UNLIKE = 0.1
"""From this share of events with nothing like them in the control on, a sample is named; the control itself has 1 %."""

EVENTS_PER_SAMPLE = 2_000

MAX_NAMED = 5


@dataclass(frozen=True)
class Outcome:
    """All that a summary tells.

    Attributes:
        model: The model that was applied.
        uri: Its URI.
        standing: Its review's gates.
        verdict: Its review's sentence.
        judged: Each sample's distance from its batch's control, of batches that have an edit.
        transform: The transform's manifest.
        export: The export's manifest.
        quarantined: Files of the sheet that could not be used.
    """

    model: EditModel
    uri: str
    standing: Standing
    verdict: str
    judged: Mapping[str, Extrapolation]
    transform: Mapping[str, Any]
    export: Mapping[str, Any]
    quarantined: Sequence[str] = ()


def judge_samples(model: EditModel, dataset: EventDataset, rows: Sequence[SheetRow]) -> dict[str, Extrapolation]:
    """Judge how far each sample is from what its batch's edit was learned on, by a draw of its events.

    Args:
        model: The model.
        dataset: The ingested events, unedited.
        rows: The sheet's rows.
    """
    sample = SampleConfig(events_per_population=EVENTS_PER_SAMPLE)
    drawn = draw_populations(dataset, model.panel, EventChoice({}, by=SAMPLE), sample).intensities
    edits = {row.sample_id: row.labels[BATCH] for row in rows}
    return {
        name: model.edits[edits[name]].support.judge(model.standardised(intensities))
        for name, intensities in drawn.items()
        if edits[name] in model.edits
    }


def summary_lines(outcome: Outcome, fcs: str, page: str) -> list[str]:
    """Say what was done, what was left alone, what to doubt, and what to open next.

    Args:
        outcome: What came of it.
        fcs: The folder of the FCS files, as it may be shown.
        page: The review's page.
    """
    design, export = outcome.model.design, outcome.export
    lines = [
        f"{export['events']:,} events in {len(export['outputs'])} files; {_led(outcome.model)}.",
        f"The review says: {outcome.verdict}",
        _gates(outcome.standing),
        *([design.caution] if design.caution else []),
        *_left_markers(outcome.model),
        *_unlike(outcome.judged),
    ]
    if outcome.quarantined:
        lines.append(f"Files that could not be used, and are not among them: {listing(outcome.quarantined)}.")
    if left_out := outcome.transform["left_out"]:
        lines.append(f"Left out, as they could not be read: {listing(entry['file'] for entry in left_out)}.")
    return [*lines, f"Open next: {page}, then the FCS files in {fcs}.", f"Made by {outcome.uri}."]


def _led(model: EditModel) -> str:
    """Say which batches were led where."""
    n_batches = len(model.edits)
    reference = "all controls together" if model.reference is None else f"the batch {model.reference!r}"
    return f"{n_batches} {'batch was' if n_batches == 1 else 'batches were'} led to {reference}"


def _gates(standing: Standing) -> str:
    """Say which checks of the review stand, and who answers for others."""
    if not standing.blocking:
        return f"All {len(GATES)} checks of the review are passed."
    failed, overridden = standing.failed, standing.overridden
    open_ = [name for name in standing.blocking if name not in failed | overridden]
    groups = {"failed": failed, "by looser thresholds or less evidence": overridden, "not measured": open_}
    told = [f"{outcome}: {listing(names)}" for outcome, names in groups.items() if names]
    accepted = f" Accepted by {standing.override.user}: {standing.override.reason}" if standing.override else ""
    return f"Checks of the review that are not passed: {'; '.join(told)}.{accepted}"


def _left_markers(model: EditModel) -> Iterator[str]:
    named: dict[tuple[str, str], list[str]] = {}
    for edit, markers in model.unlearnable.items():
        for marker, reason in markers.items():
            named.setdefault((marker, reason), []).append(edit)
    told = [f"{marker} in {listing(edits)} ({reason})" for (marker, reason), edits in named.items()]
    if not told:
        yield "No marker was left alone."
        return
    rest = f"; and {len(told) - MAX_NAMED} more, on the review's page" if len(told) > MAX_NAMED else ""
    yield f"Markers left as they are: {'; '.join(told[:MAX_NAMED])}{rest}."


def _unlike(judged: Mapping[str, Extrapolation]) -> Iterator[str]:
    """Name the samples that their controls do not speak for, the worst first."""
    if not judged:
        return
    worst = sorted(judged, key=lambda name: -judged[name].unsupported)
    unlike = [name for name in worst if judged[name].unsupported >= UNLIKE or judged[name].flagged]
    if not unlike:
        most = f"{judged[worst[0]].unsupported:.0%} of the events of {worst[0]!r}"
        yield f"No sample is unlike its batch's control (at most {most} are)."
        return
    told = ", ".join(f"{name} ({judged[name].unsupported:.0%} of its events)" for name in unlike[:MAX_NAMED])
    rest = f" and {len(unlike) - MAX_NAMED} more" if len(unlike) > MAX_NAMED else ""
    yield f"Samples unlike their batch's control, where the correction is a guess: {told}{rest}."
