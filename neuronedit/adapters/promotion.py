"""Promotion: an alias given to a version that has passed its review, or that somebody answers for."""

from collections.abc import Mapping
from dataclasses import dataclass

from mlflow.tracking import MlflowClient

from neuronedit.adapters.alias_history import AliasMove, current_user, move_alias, now
from neuronedit.adapters.registry import find_version
from neuronedit.errors import ModelError
from neuronedit.registry_configs import PromoteConfig
from neuronedit.review.acceptance import GATES, OVERRIDE_TAG, Override, Standing, listed


@dataclass(frozen=True)
class Promotion:
    """What was done: the alias's move, and the gates that did not stand, by name."""

    move: AliasMove
    overridden: Mapping[str, str]


def promote(config: PromoteConfig) -> Promotion:
    """Move an alias to a version all of whose gates stand; to an older one likewise, which is the way back.

    Raises:
        ModelError: There is no such version; or a gate failed or was not measured, and no override was given.
    """
    uri = f"models:/{config.name}/{config.version}"
    found = find_version(uri)
    blocking = Standing.from_tags(found.tags).blocking
    if blocking and not config.override:
        raise ModelError(
            f"{uri} is not promoted to {config.alias!r}: {len(blocking)} of {len(GATES)} gates do not stand: "
            f"{listed(blocking)}. Review it (neuronedit review --model {uri}) with held-out samples and the events "
            'that it is for, promote another version, or answer for it: --override "reason".'
        )
    if blocking:
        override = Override(config.override or "", current_user(), now(), tuple(blocking))
        MlflowClient().set_model_version_tag(config.name, config.version, OVERRIDE_TAG, override.to_json())
    reason = config.override or ""
    return Promotion(move_alias(config.name, config.alias, config.version, by="promote", reason=reason), blocking)
