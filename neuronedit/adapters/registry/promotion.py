"""Gates of model versions: written as tags by a review, asked for before a version is used or promoted."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlflow.tracking import MlflowClient

from neuronedit.adapters.registry.aliases import AliasMove, alias_time, current_user, move_alias
from neuronedit.adapters.registry.reviews import VersionTags
from neuronedit.adapters.registry.tracker import tracker_errors
from neuronedit.adapters.registry.versions import PinnedModel, find_version
from neuronedit.errors import ModelError
from neuronedit.model.gates import Gate, listed
from neuronedit.model.scope import Scope
from neuronedit.model.standing import OVERRIDE_TAG, HeldOutEvidence, Override, Standing, review_tags

log = logging.getLogger(__name__)


def evidence_of(pinned: PinnedModel, looked_at: Sequence[str]) -> HeldOutEvidence:
    """Set the comparisons and populations of a review, by name, beside those of earlier ones of the same version."""
    before = pinned.standing.evidence if pinned.standing else HeldOutEvidence()
    return before.then(looked_at)


def gates_of_review(
    pinned: PinnedModel, gates: Sequence[Gate], verdict: str, evidence: HeldOutEvidence, scope: Scope | None = None
) -> VersionTags | None:
    """Give the tags by which a review's gates and scope replace an earlier one's at the version; a folder has none."""
    if pinned.standing is None:
        return None
    name, _, version = pinned.uri.removeprefix("models:/").rpartition("/")
    reviewed = f"{alias_time()} by {current_user()}"
    return VersionTags(name, version, review_tags(pinned.digest, gates, verdict, reviewed, evidence, scope))


def check_usable(pinned: PinnedModel, asked: str, *, allow_failed_gates: bool) -> None:
    """Check that a model may edit events: its gates did not fail and are the review's, or somebody answers for it.

    A version that was never reviewed, or not in everything, may be used; the log has a warning.

    Args:
        pinned: The model.
        asked: The URI that the user gave for it.
        allow_failed_gates: Allow it whatever its gates found.

    Raises:
        ModelError: A gate failed, or was changed after the review; it was not allowed, and no override holds for it.
    """
    standing = pinned.standing
    if standing is None:
        return
    against = standing.against_use
    if against and not (allow_failed_gates or standing.excused):
        known_as = "" if asked == pinned.uri else f" (asked for as {asked})"
        name, _, version = pinned.uri.removeprefix("models:/").rpartition("/")
        why = "its gates are not its review's" if standing.changed else "its review found that it should not be used"
        damaged = f" Beware: {standing.problem}." if standing.problem and not standing.changed else ""
        raise ModelError(
            f"{pinned.uri}{known_as}: {why}: {listed(against)}. "
            f"Use another version, answer for this one (neuronedit promote {name} {version} --alias ALIAS --override "
            f'"reason"), or set allow_failed_gates = true.{damaged}'
        )
    if standing.problem:
        log.warning("%s: %s", pinned.uri, standing.problem)
    if against and not standing.changed:
        log.warning("%s: gates failed, and it is used all the same: %s", pinned.uri, listed(against))
    elif standing.blocking:
        log.warning("%s: %s; see `neuronedit review`", pinned.uri, _unknown(standing))


@dataclass(frozen=True)
class Promotion:
    """The result of a promotion: the alias's move, all gates, and those that did not stand, by name."""

    move: AliasMove
    gates: Mapping[str, str]
    overridden: Mapping[str, str]


def promote(name: str, version: str, alias: str, override: str | None = None) -> Promotion:
    """Move an alias to a version all of whose gates stand; to an older one likewise, which is the way back.

    Args:
        name: The registered model's.
        version: The version's number.
        alias: The alias to move.
        override: The reason to use the version although gates do not stand.

    Raises:
        ModelError: There is no such version; or a gate failed, was not measured, or was changed after the review, and
            no override was given.
        TrackingError: The registry does not answer.
    """
    uri = f"models:/{name}/{version}"
    found = find_version(uri)
    standing = Standing.from_tags(found.tags)
    blocking = standing.blocking
    if blocking and not override:
        raise ModelError(
            f"{uri} is not promoted to {alias!r}: not all of its gates stand.\n{gate_lines(standing)}\n"
            f"Review it (neuronedit review --model {uri}) with held-out samples and the events that it is for, promote "
            'another version, or answer for it: --override "reason".'
        )
    reason = override or ""
    if blocking:
        answered = Override(reason, current_user(), alias_time(), tuple(blocking), standing.digest)
        with tracker_errors():
            MlflowClient().set_model_version_tag(name, version, OVERRIDE_TAG, answered.to_json())
    return Promotion(move_alias(name, alias, version, by="promote", reason=reason), standing.told, blocking)


def gate_lines(standing: Standing) -> str:
    """Tell every gate in a line of its own."""
    return "\n".join(f"  {name}: {text}" for name, text in standing.told.items())


def _unknown(standing: Standing) -> str:
    return "never reviewed" if not standing.recorded else f"not all gates were measured: {listed(standing.blocking)}"
