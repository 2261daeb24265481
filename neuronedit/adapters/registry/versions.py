"""The registry: models registered as new versions, and pinned ones fetched back."""

import re
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

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
from neuronedit.adapters.registry.aliases import move_alias
from neuronedit.cells.draw import DrawnPopulations
from neuronedit.config import Config
from neuronedit.edits.learnable import UNLEARNABLE
from neuronedit.errors import ModelError, listing, masked, nearest_name
from neuronedit.model.edit_model import EditModel
from neuronedit.model.files import FACTS, load_model, model_digest, save_model
from neuronedit.model.gates import Standing


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
    """One exact model, identified by its digest.

    Attributes:
        model: The loaded model.
        folder: The folder of its two files on this machine.
        uri: ``models:/NAME/VERSION``, or the folder that was given.
        digest: SHA-256.
        run_id: The run that trained it; None for a folder.
        standing: Its review's gates; None for a folder.
    """

    model: EditModel
    folder: Path
    uri: str
    digest: str
    run_id: str | None
    standing: Standing | None = None

    def facts(self) -> dict[str, Any]:
        """Describe the model, as JSON has it, for a manifest."""
        registered = self.standing is not None
        return {
            "uri": self.uri,
            "sha256": self.digest,
            "run": self.run_id,
            "registry": masked(mlflow.get_registry_uri()) if registered else None,
            "gates": self.standing.facts() if self.standing else None,
            UNLEARNABLE: self.model.unlearnable,
        }


def register_model(model: EditModel, config: RegistryConfig, example: pd.DataFrame) -> PinnedModel:
    """Log the model in the active run and register it as a new version.

    Args:
        model: The model to register.
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


def example_events(model: EditModel, drawn: DrawnPopulations) -> pd.DataFrame:
    """A few events that the pyfunc accepts: those of an edited population, with their batch."""
    pair = model.design.edits(drawn.counts)[0]
    intensities = drawn.intensities[pair.source[0]][:EXAMPLE_EVENTS]
    events = pd.DataFrame(intensities.astype(float), columns=list(model.panel.markers))
    return events.assign(**{model.batch_column: pair.name}) if model.batch_column else events


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
