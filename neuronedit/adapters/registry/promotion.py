"""Gates of model versions: written as tags by a review, asked for before a version is used or promoted."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mlflow.tracking import MlflowClient

from neuronedit.adapters.registry.aliases import AliasMove, alias_time, current_user, move_alias
from neuronedit.adapters.registry.versions import PinnedModel, find_version
from neuronedit.errors import ModelError
from neuronedit.model.gates import GATE_TAG, GATES, OVERRIDE_TAG, Gate, Override, Standing, listed

log = logging.getLogger(__name__)


STATE_TAG: Final = "neuronedit.gates"
VERDICT_TAG: Final = "neuronedit.verdict"
REVIEWED_TAG: Final = "neuronedit.reviewed"


def write_gates(pinned: PinnedModel, gates: Sequence[Gate], verdict: str) -> None:
    """Write a review's gates to the version's tags, in place of an earlier review's; a folder has no tags."""
    if pinned.standing is None:
        return
    found = find_version(pinned.uri)
    tags = {GATE_TAG + gate.name: gate.text for gate in gates}
    tags |= {
        STATE_TAG: Standing.from_tags(tags).state,
        VERDICT_TAG: verdict,
        REVIEWED_TAG: f"{alias_time()} by {current_user()}",
    }
    for key, text in tags.items():
        MlflowClient().set_model_version_tag(found.name, str(found.version), key, text)


def check_usable(pinned: PinnedModel, asked: str, *, allow_failed_gates: bool) -> None:
    """Check that a model may edit events: its gates did not fail, or somebody answers for it.

    A version that was never reviewed, or not in everything, may be used; the log has a warning.

    Args:
        pinned: The model.
        asked: The URI that the user gave for it.
        allow_failed_gates: Allow it whatever its gates found.

    Raises:
        ModelError: A gate failed, it was not allowed, and no override holds for it.
    """
    standing = pinned.standing
    if standing is None:
        return
    if standing.failed and not (allow_failed_gates or standing.excused):
        known_as = "" if asked == pinned.uri else f" (asked for as {asked})"
        name, _, version = pinned.uri.removeprefix("models:/").rpartition("/")
        raise ModelError(
            f"{pinned.uri}{known_as}: its review found that it should not be used: {listed(standing.failed)}. "
            f"Use another version, answer for this one (neuronedit promote {name} {version} --alias ALIAS --override "
            '"reason"), or set allow_failed_gates = true.'
        )
    if standing.failed:
        log.warning("%s: gates failed, and it is used all the same: %s", pinned.uri, listed(standing.failed))
    elif standing.blocking:
        log.warning("%s: %s; see `neuronedit review`", pinned.uri, _unknown(standing))


@dataclass(frozen=True)
class Promotion:
    """The result of a promotion: the alias's move, and the gates that did not stand, by name."""

    move: AliasMove
    overridden: Mapping[str, str]


def promote(name: str, version: str, alias: str, override: str | None = None) -> Promotion:
    """Move an alias to a version all of whose gates stand; to an older one likewise, which is the way back.

    Args:
        name: The registered model's.
        version: The version's number.
        alias: The alias to move.
        override: The reason to use the version although gates do not stand.

    Raises:
        ModelError: There is no such version; or a gate failed or was not measured, and no override was given.
    """
    uri = f"models:/{name}/{version}"
    found = find_version(uri)
    blocking = Standing.from_tags(found.tags).blocking
    if blocking and not override:
        raise ModelError(
            f"{uri} is not promoted to {alias!r}: {len(blocking)} of {len(GATES)} gates do not stand: "
            f"{listed(blocking)}. Review it (neuronedit review --model {uri}) with held-out samples and the events "
            'that it is for, promote another version, or answer for it: --override "reason".'
        )
    reason = override or ""
    if blocking:
        answered = Override(reason, current_user(), alias_time(), tuple(blocking))
        MlflowClient().set_model_version_tag(name, version, OVERRIDE_TAG, answered.to_json())
    return Promotion(move_alias(name, alias, version, by="promote", reason=reason), blocking)


def _unknown(standing: Standing) -> str:
    return "never reviewed" if not standing.recorded else f"not all gates were measured: {listed(standing.blocking)}"
