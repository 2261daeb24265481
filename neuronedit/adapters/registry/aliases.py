"""Aliases of registered models: each move is recorded with who made it, when and why; no record is written over."""

import getpass
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from neuronedit.adapters.registry.tracker import is_missing, tracker_errors
from neuronedit.errors import ModelError

log = logging.getLogger(__name__)

MOVE_TAG: Final = "neuronedit.alias."
"""Begins the tag of a registered model that records one move; the alias and the time follow."""

By = Literal["train", "update", "promote"]


@dataclass(frozen=True)
class AliasMove:
    """One move of an alias.

    Attributes:
        alias: Its name.
        time: Time of the move, UTC.
        user: Name of the user who moved it.
        by: Name of the job that moved it.
        before: The version that it pointed to; None if there was no such alias.
        after: The version that it points to.
        reason: The override's reason; empty without an override.
    """

    alias: str
    time: str
    user: str
    by: By
    before: str | None
    after: str
    reason: str

    @property
    def sentence(self) -> str:
        """The move, for a person."""
        moved = f"{self.before} → {self.after}" if self.before else self.after
        if self.before == self.after:
            moved = f"stays at {self.after}, asked"
        override = f", override: {self.reason}" if self.reason else ""
        return f"{self.time} {self.alias}: {moved} by {self.user} ({self.by}{override})"


def move_alias(name: str, alias: str, version: str, *, by: By, reason: str = "") -> AliasMove:
    """Point an alias at a version, and record it: each move is a tag of its own on the registered model.

    Raises:
        ModelError: The registry refuses.
        TrackingError: The registry does not answer.
    """
    client = MlflowClient()
    with tracker_errors():
        try:
            before = client.get_registered_model(name).aliases.get(alias)
            client.set_registered_model_alias(name, alias, version)
            move = AliasMove(alias, alias_time(), current_user(), by, before and str(before), version, reason)
            client.set_registered_model_tag(
                name, f"{MOVE_TAG}{alias}.{move.time}", json.dumps(asdict(move), ensure_ascii=False)
            )
        except MlflowException as error:
            if not is_missing(error):
                raise
            raise ModelError(
                f"models:/{name}@{alias}: the registry refuses to move the alias to version {version} "
                f"({error.message}). Choose another alias, or ask for the right to move it."
            ) from error
    return move


def alias_moves(tags: Mapping[str, str]) -> list[AliasMove]:
    """All moves that a registered model's tags record, the first one first; the log has a warning of a damaged tag."""
    moves = []
    for key, text in tags.items():
        if key.startswith(MOVE_TAG):
            try:
                moves.append(AliasMove(**json.loads(text)))
            except (ValueError, TypeError, RecursionError):
                log.warning("the tag %s is damaged: it records no move of an alias. Delete it, or restore it.", key)
    return sorted(moves, key=lambda move: str(move.time))


def check_alias_is_free(name: str, alias: str | None) -> None:
    """Check that training would not move an alias that reviewed versions are promoted to.

    Args:
        name: The registered model's.
        alias: The alias that training is to move, if any.

    Raises:
        ModelError: It would.
        TrackingError: The registry does not answer.
    """
    if not alias:
        return
    with tracker_errors():
        try:
            tags = MlflowClient().get_registered_model(name).tags
        except MlflowException as error:
            if is_missing(error):
                return
            raise
    if any(move.by == "promote" for move in alias_moves(tags) if move.alias == alias):
        raise ModelError(
            f"model.alias = {alias!r}: versions of {name!r} are promoted to this alias after a review, "
            "so training does not move it. Choose another, e.g. candidate, and promote the version once it is reviewed."
        )


def current_user() -> str:
    """The user's name: the one that MLflow's server knows, else that of the machine."""
    try:
        return os.environ.get("MLFLOW_TRACKING_USERNAME") or getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return "unknown"


def alias_time() -> str:
    """The time now, UTC, to the microsecond: moves of one alias sort by it, and a tag's name takes no plus sign."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
