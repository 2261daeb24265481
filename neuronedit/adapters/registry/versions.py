"""The registry: models registered as new versions, and pinned ones fetched back.

Aliases of registered models: moved with a record of who moved them, when and why, that is never written over.
"""

import getpass
import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal

import mlflow
import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import AnyType
from pydantic import Field

import neuronedit
from neuronedit.adapters.registry import pyfunc_model
from neuronedit.cells.draw import DrawnPopulations
from neuronedit.config import Config
from neuronedit.errors import ModelError, listing, masked, nearest_name
from neuronedit.model.edit_model import EditModel
from neuronedit.model.files import FACTS, load_model, model_digest, save_model
from neuronedit.model.gates import Standing

MOVE_TAG: Final = "neuronedit.alias."
"""Begins the tag of a registered model that records one move; the alias and the time follow."""

By = Literal["train", "update", "promote"]


@dataclass(frozen=True)
class AliasMove:
    """One move of an alias.

    Attributes:
        alias: Its name.
        time: When, UTC.
        user: Who.
        by: Which job.
        before: The version that it pointed to; None where there was no such alias.
        after: The version that it points to.
        reason: Why, where an override was given; else empty.
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
        came_from = f"{self.before} → " if self.before else ""
        override = f", override: {self.reason}" if self.reason else ""
        return f"{self.time} {self.alias}: {came_from}{self.after} by {self.user} ({self.by}{override})"


def move_alias(name: str, alias: str, version: str, *, by: By, reason: str = "") -> AliasMove:
    """Point an alias at a version, and record it: each move is a tag of its own on the registered model.

    Raises:
        ModelError: The registry refuses.
    """
    client = MlflowClient()
    try:
        before = client.get_registered_model(name).aliases.get(alias)
        client.set_registered_model_alias(name, alias, version)
        move = AliasMove(alias, alias_time(), current_user(), by, before and str(before), version, reason)
        client.set_registered_model_tag(
            name, f"{MOVE_TAG}{alias}.{move.time}", json.dumps(asdict(move), ensure_ascii=False)
        )
    except MlflowException as error:
        raise ModelError(
            f"models:/{name}@{alias}: the registry refuses to move the alias to version {version} ({error.message}). "
            "Choose another alias, or ask for the right to move it."
        ) from error
    return move


def alias_moves(tags: Mapping[str, str]) -> list[AliasMove]:
    """All moves that a registered model's tags record, the first one first."""
    moves = [AliasMove(**json.loads(text)) for key, text in tags.items() if key.startswith(MOVE_TAG)]
    return sorted(moves, key=lambda move: move.time)


def check_alias_is_free(name: str, alias: str | None) -> None:
    """Check that training would not move an alias that reviewed versions are promoted to.

    Args:
        name: The registered model's.
        alias: What training is to move, if anything.

    Raises:
        ModelError: It would.
    """
    if not alias:
        return
    found = MlflowClient().search_registered_models(filter_string=f"name = '{name}'")
    moves = [move for model in found for move in alias_moves(model.tags) if move.alias == alias]
    if any(move.by == "promote" for move in moves):
        raise ModelError(
            f"model.alias = {alias!r}: versions of {name!r} are promoted to this alias after a review, "
            "so training does not move it. Choose another, e.g. candidate, and promote the version once it is reviewed."
        )


def current_user() -> str:
    """Who is asking: the name that MLflow's server knows, else that of the machine."""
    try:
        return os.environ.get("MLFLOW_TRACKING_USERNAME") or getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return "unknown"


def alias_time() -> str:
    """UTC, to the microsecond: moves of one alias follow one another."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")  # a tag's name takes no plus sign


class RegistryConfig(Config):
    """The model's name in MLflow's registry."""

    name: str = Field("neuronedit", pattern=r"^[^/:@]+$", description="registered model name")
    alias: str | None = Field(None, description="an alias to point at the new version, e.g. candidate")


SERVING_REQUIREMENTS = ("mlflow", "numpy", "pandas", "pydantic", "safetensors", "torch")
EXAMPLE_EVENTS = 5
DIGEST_TAG: Final = "neuronedit.digest"
PARENT_TAG: Final = "neuronedit.parent"
"""A model version's tag that names the version that it was made from: ``models:/NAME/VERSION``."""


@dataclass(frozen=True)
class PinnedModel:
    """One exact model: its bits are known by digest, whatever it was asked for by.

    Attributes:
        model: Loaded.
        folder: Where its two files lie on this machine.
        uri: ``models:/NAME/VERSION``, or the folder that was given.
        digest: SHA-256.
        run_id: The run that trained it; None for a folder.
        standing: What its review found; None for a folder.
    """

    model: EditModel
    folder: Path
    uri: str
    digest: str
    run_id: str | None
    standing: Standing | None = None

    def facts(self) -> dict[str, Any]:
        """What a manifest says of it."""
        registered = self.standing is not None
        return {
            "uri": self.uri,
            "sha256": self.digest,
            "run": self.run_id,
            "registry": masked(mlflow.get_registry_uri()) if registered else None,
            "gates": self.standing.facts() if self.standing else None,
        }


def register_model(model: EditModel, config: RegistryConfig, example: pd.DataFrame) -> PinnedModel:
    """Log the model in the active run and register it as a new version.

    Args:
        model: To be registered.
        config: Its name, and an alias to move to the new version.
        example: A few events with the columns that prediction needs; it becomes the input example.
    """
    with tempfile.TemporaryDirectory(prefix="neuronedit-model-") as temporary:
        folder = Path(temporary) / pyfunc_model.ARTIFACT
        digest = save_model(model, folder)
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=pyfunc_model.__file__,
            artifacts={pyfunc_model.ARTIFACT: str(folder)},
            code_paths=[str(Path(neuronedit.__file__).parent)],
            signature=_signature(model),
            input_example=example,
            pip_requirements=[f"{name}=={version(name)}" for name in SERVING_REQUIREMENTS],
            registered_model_name=config.name,
            metadata={"neuronedit.digest": digest},
        )
    number = str(logged.registered_model_version)
    client = MlflowClient()
    client.set_model_version_tag(config.name, number, DIGEST_TAG, digest)
    parent = model.facts.get("parent")
    if parent:
        client.set_model_version_tag(config.name, number, PARENT_TAG, parent["uri"])
    if config.alias:
        move_alias(config.name, config.alias, number, by="update" if parent else "train")
    return pinned_model(f"models:/{config.name}/{number}")


def pinned_model(uri: str) -> PinnedModel:
    """Fetch exactly one model: ``models:/NAME/VERSION``, ``models:/NAME@ALIAS`` (resolved now), or a folder.

    Raises:
        ModelError: There is no such model, or the URI does not pin one.
    """
    if not uri.startswith("models:"):
        folder = _model_folder(Path(uri))
        return PinnedModel(load_model(folder), folder, str(Path(uri).absolute()), model_digest(folder), None)
    found = find_version(uri)
    pinned = f"models:/{found.name}/{found.version}"
    try:
        downloaded = mlflow.artifacts.download_artifacts(artifact_uri=pinned)
    except (MlflowException, OSError) as error:
        raise ModelError(f"{pinned}: registered, but its files cannot be fetched ({error}).") from error
    folder = _model_folder(Path(downloaded))
    standing = Standing.from_tags(found.tags)
    return PinnedModel(load_model(folder), folder, pinned, model_digest(folder), found.run_id, standing)


def find_version(uri: str) -> ModelVersion:
    """The version that ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS`` means now, without its files.

    Raises:
        ModelError: There is no such version, or the URI does not pin one.
    """
    match = re.fullmatch(r"models:/([^/@]+)(?:/(\d+)|@([^/@]+))", uri)
    if not match:
        raise ModelError(
            f"{uri}: does not pin one model; expected models:/NAME/VERSION, models:/NAME@ALIAS or a folder. "
            "'latest' can change between two files of one job."
        )
    name, number, alias = match.groups()
    client = MlflowClient()
    try:
        return client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, number)
    except MlflowException as error:
        raise ModelError(_not_found(uri, name, client)) from error


def _not_found(uri: str, name: str, client: MlflowClient) -> str:
    names = [model.name for model in client.search_registered_models()]
    if name not in names:
        known = f"known: {listing(names)}" if names else "it has none"
        return (
            f"{uri}: the registry at {mlflow.get_registry_uri()} has no model {name!r} "
            f"({known}{nearest_name(name, names)}). Train one, or check tracking.uri."
        )
    versions = sorted(int(found.version) for found in client.search_model_versions(f"name='{name}'"))
    aliases = client.get_registered_model(name).aliases
    return (
        f"{uri}: model {name!r} has no such version or alias (versions: {listing(versions)}; "
        f"aliases: {listing(aliases) or 'none'}). Correct the model's URI."
    )


def _model_folder(folder: Path) -> Path:
    """The folder with the model's two files: the one given, or within an MLflow model."""
    nested = folder / "artifacts" / pyfunc_model.ARTIFACT
    return nested if (nested / FACTS).exists() else folder


def _signature(model: EditModel) -> ModelSignature:
    # Doubles: MLflow casts float32 up to them, but refuses float64 where float32 is declared.
    markers = [ColSpec("double", marker) for marker in model.panel.markers]
    # Batches are named by text or by numbers; a CSV does not tell which.
    batch = [ColSpec(AnyType(), model.batch_column)] if model.batch_column else []
    schema = Schema(markers + batch)
    return ModelSignature(schema, schema, ParamSchema([ParamSpec("unknown_batch", "string", "error")]))


def example_events(model: EditModel, drawn: DrawnPopulations) -> pd.DataFrame:
    """A few events that the pyfunc accepts: those of an edited population, with their batch."""
    pair = model.design.edits(drawn.counts)[0]
    intensities = drawn.intensities[pair.source[0]][:EXAMPLE_EVENTS]
    events = pd.DataFrame(intensities.astype(float), columns=list(model.panel.markers))
    return events.assign(**{model.batch_column: pair.name}) if model.batch_column else events
