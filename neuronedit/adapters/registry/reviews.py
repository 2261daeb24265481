"""The history of a version's reviews: each is recorded with its run, time and outcome; none is written over."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from neuronedit.model.standing import REVIEWED_TAG, STATE_TAG, VERDICT_TAG

log = logging.getLogger(__name__)

REVIEW_TAG: Final = "neuronedit.review."
"""Begins the tag of a model version that records one review; its time follows."""


@dataclass(frozen=True)
class ReviewRecord:
    """One review of a version.

    Attributes:
        reviewed: The time of the review, UTC, and the user.
        state: The joint outcome of its gates.
        verdict: One sentence.
        run: The run that has its page, tables and settings.
    """

    reviewed: str
    state: str
    verdict: str
    run: str

    @property
    def sentence(self) -> str:
        """The review, for a person."""
        return f"{self.reviewed}: {self.state}. {self.verdict} (run {self.run})"


def review_record(tags: Mapping[str, str], run: str) -> dict[str, str]:
    """Make the tag that records a review.

    Args:
        tags: Those by which the review replaces an earlier one's gates.
        run: The review's run.
    """
    record = ReviewRecord(tags[REVIEWED_TAG], tags[STATE_TAG], tags[VERDICT_TAG], run)
    time = record.reviewed.partition(" ")[0]
    return {REVIEW_TAG + time: json.dumps(asdict(record), ensure_ascii=False)}


def review_history(tags: Mapping[str, str]) -> list[ReviewRecord]:
    """All reviews that a version's tags record, the first one first; the log has a warning of a damaged tag."""
    records = []
    for key, text in tags.items():
        if key.startswith(REVIEW_TAG):
            try:
                records.append(ReviewRecord(**json.loads(text)))
            except (ValueError, TypeError, RecursionError):
                log.warning("the tag %s is damaged: it records no review. Delete it, or restore it.", key)
    return sorted(records, key=lambda record: str(record.reviewed))


def run_of_last(tags: Mapping[str, str]) -> str | None:
    """The run of the review whose gates a version's tags have; None where it recorded none."""
    reviewed = tags.get(REVIEWED_TAG)
    return next((record.run for record in review_history(tags) if record.reviewed == reviewed), None)
