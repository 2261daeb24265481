"""The registry: models registered as new versions, and pinned ones fetched back."""

import logging
import re
import tempfile
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Self

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
from neuronedit.adapters.registry.reviews import logged_model_of, run_of_last
from neuronedit.adapters.registry.tracker import is_missing, tracker_errors, uploading
from neuronedit.cells.draw import DrawnPopulations
from neuronedit.config import Config
from neuronedit.edits.learnable import UNLEARNABLE, UNMOVED
from neuronedit.edits.students.student import Server, served_sentence
from neuronedit.errors import ModelError, NeuroneditError, TrackingError, listing, masked, nearest_name
from neuronedit.model.edit_model import EditModel
from neuronedit.model.saved.files import FACTS, contents_digest, model_contents, parse_model, save_model
from neuronedit.model.scope import NO_SCOPE, Scope
from neuronedit.model.standing import DIGEST_TAG, Standing

log = logging.getLogger(__name__)


class RegistryConfig(Config):
    """The model's name in MLflow's registry."""

    name: str = Field("neuronedit", pattern=r"^[^/:@]+$", description="registered model name")
    alias: str | None = Field(None, description="an alias to point at the new version, e.g. candidate")


SERVING_REQUIREMENTS = ("mlflow", "numpy", "pandas", "pydantic", "safetensors", "torch")
EXAMPLE_EVENTS = 5
MAX_NAMES = 1000  # MLflow's limit for one answer
NO_STEP = -1  # a model has all that its run measured at its step, but CPU and disk of the training say nothing of it
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
        review_run: The run of its last review; None where there is none, or one of before reviews had runs.
        model_id: The logged model that it is, by its id in MLflow; None for a folder.
    """

    model: EditModel
    folder: Path
    uri: str
    digest: str
    run_id: str | None
    standing: Standing | None = None
    review_run: str | None = None
    model_id: str | None = None

    @property
    def short_name(self) -> str:
        """The model's name for the name of a run: ``batches v3``, or its folder's."""
        if self.standing is None:
            return Path(self.uri).name
        name, _, version = self.uri.removeprefix("models:/").rpartition("/")
        return f"{name} v{version}"

    @property
    def scope(self) -> Scope:
        """The populations that it was reviewed for; none for a folder."""
        return self.standing.scope if self.standing else NO_SCOPE

    def contents(self) -> dict[str, bytes]:
        """Read the bytes of the model's two files again.

        Raises:
            ModelError: They are not those that were loaded.
        """
        contents = model_contents(self.folder)
        if (found := contents_digest(contents)) != self.digest:
            raise _other_files(self.uri, self.digest, found)
        return contents

    @property
    def servers(self) -> dict[str, Server]:
        """Who makes the change of each edit that makes one, by the edit's name."""
        return {name: edit.server for name, edit in self.model.edits.items() if edit.server}

    def served_by(self, server: Server) -> Self:
        """Give the same model, served as in ``EditModel.served_by``; where it has students, log who serves what."""
        served = replace(self, model=self.model.served_by(server))
        if "student" in self.servers.values():
            log.info("%s: %s", self.uri, served_sentence(served.servers))
        return served

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
            "caution": self.model.design.caution,
            UNMOVED: {name: list(markers) for name, markers in self.model.unmoved.items()},
            "served_by": self.servers,
        }


def register_model(model: EditModel, config: RegistryConfig, example: pd.DataFrame) -> PinnedModel:
    """Log the model in the active run and register it as a new version.

    Args:
        model: The model to register.
        config: Its name, and an alias to move to the new version.
        example: A few events with the columns that prediction needs; it becomes the input example.

    Raises:
        TrackingError: MLflow does not take the model: nothing is registered.
        ModelError: The version is registered, but not all that follows was done.
    """
    parent = model.facts.get("parent")
    with tempfile.TemporaryDirectory(prefix="neuronedit-model-") as temporary:
        folder = Path(temporary) / pyfunc_model.ARTIFACT
        digest = save_model(model, folder)
        with tracker_errors(), uploading():
            logged = mlflow.pyfunc.log_model(
                name="model",
                python_model=pyfunc_model.__file__,
                artifacts={pyfunc_model.ARTIFACT: str(folder)},
                code_paths=[str(Path(neuronedit.__file__).parent)],
                signature=_signature(model),
                input_example=example,
                pip_requirements=[f"{name}=={version(name)}" for name in SERVING_REQUIREMENTS],
                metadata={DIGEST_TAG: digest},
                step=NO_STEP,
            )
            # The version has its digest from the start: without it, it could not be used.
            tags = {DIGEST_TAG: digest} | ({PARENT_TAG: parent["uri"]} if parent else {})
            registered = mlflow.register_model(logged.model_uri, config.name, tags=tags)
    uri = f"models:/{config.name}/{registered.version}"
    try:
        if config.alias:
            move_alias(config.name, config.alias, str(registered.version), by="update" if parent else "train")
        return pinned_model(uri)
    except NeuroneditError as error:
        alias = f" with the alias {config.alias!r}" if config.alias else ""
        raise ModelError(f"{uri}: registered, but it could not be fetched back{alias}: {error}") from error


def example_events(model: EditModel, drawn: DrawnPopulations) -> pd.DataFrame:
    """A few events that the pyfunc accepts: those of an edited population, with their batch."""
    pair = model.design.edits(drawn.counts)[0]
    intensities = drawn.intensities[pair.source[0]][:EXAMPLE_EVENTS]
    events = pd.DataFrame(intensities.astype(float), columns=list(model.panel.markers))
    return events.assign(**{model.batch_column: pair.name}) if model.batch_column else events


def pinned_model(uri: str) -> PinnedModel:
    """Fetch exactly one model: ``models:/NAME/VERSION``, ``models:/NAME@ALIAS`` (resolved now), or a folder.

    Raises:
        ModelError: There is no such model, the URI does not pin one, the model cannot be loaded, or its files are not
            those that were registered.
        TrackingError: The registry does not answer.
    """
    if not uri.startswith("models:"):
        return _loaded(_model_folder(Path(uri)), str(Path(uri).absolute()))
    found = find_version(uri)
    pinned = f"models:/{found.name}/{found.version}"
    try:
        with tracker_errors():
            downloaded = mlflow.artifacts.download_artifacts(artifact_uri=pinned)
    except TrackingError as error:
        raise ModelError(f"{pinned}: registered, but its files cannot be fetched. {error}") from error
    loaded = _loaded(_model_folder(Path(downloaded)), pinned, found.run_id)
    registered = found.tags.get(DIGEST_TAG)
    if registered is None:
        raise ModelError(
            f"{pinned}: its tag {DIGEST_TAG} is missing, so nothing tells which files were registered. Use another "
            "version, or register the model again (train, or update with the same data)."
        )
    if registered != loaded.digest:
        raise _other_files(pinned, registered, loaded.digest)
    standing, last = Standing.from_tags(found.tags), run_of_last(found.tags)
    return replace(loaded, standing=standing, review_run=last, model_id=logged_model_of(found))


def find_version(uri: str) -> ModelVersion:
    """The version that ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS`` means now, without its files.

    Raises:
        ModelError: There is no such version, or the URI does not pin one.
        TrackingError: The registry does not answer.
    """
    match = re.fullmatch(r"models:/([^/@]+)(?:/([0-9]{1,18})|@([^/@]+))", uri)
    if not match:
        raise ModelError(
            f"{uri}: does not pin one model; expected models:/NAME/VERSION, models:/NAME@ALIAS or a folder. "
            "'latest' can change between two files of one job."
        )
    name, number, alias = match.groups()
    client = MlflowClient()
    with tracker_errors():
        try:
            return client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, number)
        except MlflowException as error:
            if not is_missing(error):
                raise
            raise ModelError(_not_found(uri, name, client)) from error


def _not_found(uri: str, name: str, client: MlflowClient) -> str:
    try:
        aliases = client.get_registered_model(name).aliases
    except MlflowException as error:
        if not is_missing(error):
            raise
        names = [model.name for model in client.search_registered_models(max_results=MAX_NAMES)]
        known = f"known: {listing(names)}" if names else "it has none"
        return (
            f"{uri}: the registry at {mlflow.get_registry_uri()} has no model {name!r} "
            f"({known}{nearest_name(name, names)}). Train one, or check tracking.uri."
        )
    return (
        f"{uri}: model {name!r} has no such version or alias (versions: {listing(_versions(name, client))}; "
        f"aliases: {listing(aliases) or 'none'}). Correct the model's URI."
    )


def _versions(name: str, client: MlflowClient) -> list[int]:
    """The numbers of a model's versions; a name with both kinds of quotes cannot be asked for, but looked for."""
    quote = next((quote for quote in "'\"" if quote not in name), None)
    found = client.search_model_versions(f"name={quote}{name}{quote}" if quote else None, max_results=MAX_NAMES)
    return sorted(int(version.version) for version in found if version.name == name)


def _loaded(folder: Path, uri: str, run_id: str | None = None) -> PinnedModel:
    # The digest of the very bytes that the model is made of.
    contents = model_contents(folder)
    return PinnedModel(parse_model(contents, str(folder)), folder, uri, contents_digest(contents), run_id)


def _other_files(uri: str, expected: str, found: str) -> ModelError:
    return ModelError(
        f"{uri}: its files are not those that were registered: expected SHA-256 {expected}, found {found}. Restore "
        "them in the artifact store, or use another version."
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
