"""Promotion: an alias given to a version that has passed its review, or that somebody answers for."""

from collections.abc import Mapping
from dataclasses import dataclass

from mlflow.tracking import MlflowClient

from neuronedit.adapters.alias_history import AliasMove, current_user, move_alias, now
from neuronedit.adapters.registry import find_version
from neuronedit.errors import ModelError
from neuronedit.review.acceptance import GATES, OVERRIDE_TAG, Override, Standing, listed


@dataclass(frozen=True)
class Promotion:
    """What was done: the alias's move, and the gates that did not stand, by name."""

    move: AliasMove
    overridden: Mapping[str, str]


def promote(name: str, version: str, alias: str, override: str | None = None) -> Promotion:
    """Move an alias to a version all of whose gates stand; to an older one likewise, which is the way back.

    Args:
        name: The registered model's.
        version: Its number.
        alias: To be moved.
        override: Why the version may be used although gates do not stand.

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
        answered = Override(reason, current_user(), now(), tuple(blocking))
        MlflowClient().set_model_version_tag(name, version, OVERRIDE_TAG, answered.to_json())
    return Promotion(move_alias(name, alias, version, by="promote", reason=reason), blocking)
