"""Reviews of a version: what the last one says of it, and all of them with run, time and outcome; none is lost."""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from neuronedit.adapters.registry.tracker import tracker_errors
from neuronedit.model.standing import REVIEWED_TAG, STATE_TAG, VERDICT_TAG, is_sealed
from neuronedit.review.page.card import MODEL_NOTE, closed, is_ours, with_card

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


@dataclass(frozen=True)
class VersionTags:
    """A review's tags for a model version: ``models:/NAME/VERSION`` is ``name`` and ``version``."""

    name: str
    version: str
    tags: Mapping[str, str]

    def write(self, run: str, card: str = "", *, late: bool = False) -> str:
        """Write the tags, beside them a record of the review that they are of, and its card as the description.

        Args:
            run: The review's.
            card: The model card; empty to leave the descriptions.
            late: Leave tags and card of a review that came later.

        Returns:
            A sentence where they were left; otherwise nothing.

        Raises:
            TrackingError: MLflow does not answer, or refuses.
        """
        with tracker_errors():
            client = MlflowClient()
            for key, text in review_record(self.tags, run).items():
                client.set_model_version_tag(self.name, self.version, key, text)
            before = client.get_model_version(self.name, self.version).tags
            reviewed = before.get(REVIEWED_TAG, "")
            if late and reviewed > self.tags.get(REVIEWED_TAG, ""):  # both begin with the time
                return f"models:/{self.name}/{self.version} was reviewed again since ({reviewed}): its gates stay."
            for key, text in self.tags.items():
                client.set_model_version_tag(self.name, self.version, key, text)
            for key in before:
                if is_sealed(key) and key not in self.tags:  # a gate of an older neuronedit, which has none like it now
                    client.delete_model_version_tag(self.name, self.version, key)
        if card:
            describe_version(self.name, self.version, closed(card, self.tags[REVIEWED_TAG], f"run {run}"))
        return ""


def logged_model_of(found: ModelVersion) -> str | None:
    """The id of the logged model that a version was made of, which its source tells; None where there is none."""
    source = (found.source or "").removeprefix("models:/")
    return source if re.fullmatch("m-[0-9a-f]+", source) else None


@tracker_errors()
def describe_version(name: str, version: str, card: str) -> None:
    """Put a card into the description of a version and of its logged model; a text of a person's stays.

    A registered model that nobody has described gets a note on where the cards are.

    Args:
        name: The registered model's.
        version: The version's number.
        card: The card, closed.

    Raises:
        TrackingError: MLflow does not answer, or refuses.
    """
    client = MlflowClient()
    found = client.get_model_version(name, version)
    client.update_model_version(name, version, with_card(found.description, card))
    if model_id := logged_model_of(found):
        client.set_logged_model_tags(model_id, {MLFLOW_RUN_NOTE: card})
    described = client.get_registered_model(name).description
    if not described or is_ours(described):
        client.update_registered_model(name, MODEL_NOTE)


@tracker_errors()
def describe_run(run: str, card: str) -> None:
    """Put a card into the description of a run; a text of a person's stays.

    Raises:
        TrackingError: MLflow does not answer, or refuses.
    """
    client = MlflowClient()
    described = client.get_run(run).data.tags.get(MLFLOW_RUN_NOTE)
    client.set_tag(run, MLFLOW_RUN_NOTE, with_card(described, card))
