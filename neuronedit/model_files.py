"""A model on disk: ``model.json`` and ``model.safetensors`` in one folder. No pickle, no code."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError

from neuronedit.autoencoder import Architecture, Autoencoder
from neuronedit.design import Design
from neuronedit.edit import Edit, EditStep, FittedStep, restore_shift
from neuronedit.errors import ModelError, OutputError
from neuronedit.model import EditModel
from neuronedit.panel import Panel
from neuronedit.scaling import Scaling

FORMAT = 1
FACTS, ARRAYS = "model.json", "model.safetensors"

Arrays = dict[str, npt.NDArray[Any]]


def save_model(model: EditModel, folder: str | Path) -> str:
    """Write a model into a new folder, all or nothing.

    Returns:
        The model's digest: SHA-256 over everything that it consists of.

    Raises:
        OutputError: The folder exists.
    """
    folder = Path(folder)
    if folder.exists():
        raise OutputError(f"{folder}: the model's folder exists. Choose another name, or remove it first.")
    arrays = safetensors.numpy.save(_arrays(model))
    facts = json.dumps(_facts(model, hashlib.sha256(arrays).hexdigest()), indent=2, sort_keys=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        (staging / ARRAYS).write_bytes(arrays)
        (staging / FACTS).write_text(facts + "\n", encoding="utf-8")
        staging.chmod(0o755)
        staging.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return model_digest(folder)


def load_model(folder: str | Path) -> EditModel:
    """Read a model that ``save_model`` wrote; it computes the same bits as the one saved.

    Raises:
        ModelError: A file is missing, damaged, of another model, or of a newer format.
    """
    return parse_model(model_contents(folder), str(folder))


def model_contents(folder: str | Path) -> dict[str, bytes]:
    """The bytes of a model's two files, by name.

    Raises:
        ModelError: A file is missing.
    """
    try:
        return {name: (Path(folder) / name).read_bytes() for name in (FACTS, ARRAYS)}
    except OSError as error:
        raise ModelError(
            f"{folder}: not a neuronedit model ({error.strerror}: {error.filename}). "
            f"Expected a folder with {FACTS} and {ARRAYS}."
        ) from error


def parse_model(contents: Mapping[str, bytes], where: str) -> EditModel:
    """The model that two files' bytes stand for.

    Args:
        contents: By name, as ``model_contents`` gives them.
        where: What they are from, for the message.

    Raises:
        ModelError: A file is damaged, of another model, or of a newer format.
    """
    try:
        facts = json.loads(contents[FACTS])
    except ValueError as error:
        raise ModelError(f"{where}: {FACTS}: damaged, not valid JSON ({error}). Restore the model's folder.") from error
    found = facts.get("format") if isinstance(facts, dict) else None
    if found != FORMAT:
        raise ModelError(
            f"{where}: expected model format {FORMAT}, found {found!r}. Use the neuronedit that wrote the model."
        )
    try:
        if hashlib.sha256(contents[ARRAYS]).hexdigest() != facts["arrays_sha256"]:
            raise ModelError(
                f"{where}: {ARRAYS} does not belong to {FACTS} beside it (SHA-256 differs). Weights, panel, scaling "
                "and percentiles are one artefact: restore both files."
            )
        return _model(facts, safetensors.numpy.load(contents[ARRAYS]))
    # RuntimeError is what torch raises where weights do not fit the network.
    except (AttributeError, KeyError, TypeError, RuntimeError, ValidationError, SafetensorError) as error:
        raise ModelError(f"{where}: incomplete model ({type(error).__name__}: {error}). Restore the folder.") from error


def model_digest(folder: str | Path) -> str:
    """SHA-256 of ``model.json``, which holds the SHA-256 of ``model.safetensors``."""
    return hashlib.sha256((Path(folder) / FACTS).read_bytes()).hexdigest()


def _facts(model: EditModel, arrays_sha256: str) -> dict[str, Any]:
    hidden = model.autoencoder.architecture.hidden
    return {
        "format": FORMAT,
        "arrays_sha256": arrays_sha256,
        "panel": {"markers": model.panel.markers, "cofactors": model.panel.cofactors},
        "architecture": {"hidden": hidden, "code": model.autoencoder.architecture.code},
        "design": model.design.model_dump(mode="json"),
        "edits": {
            name: [step.plan.model_dump(mode="json") for step in edit.steps] for name, edit in model.edits.items()
        },
        "facts": dict(model.facts),
    }


def _arrays(model: EditModel) -> Arrays:
    arrays: Arrays = {
        "scaling.cofactors": model.scaling.cofactors,
        "scaling.means": model.scaling.means,
        "scaling.spreads": model.scaling.spreads,
    }
    for name, weights in model.autoencoder.state_dict().items():
        arrays[f"autoencoder.{name}"] = weights.cpu().numpy()
    for name, edit in model.edits.items():
        for index, step in enumerate(edit.steps):
            arrays |= {f"edits.{name}.{index}.{part}": array for part, array in step.shift.arrays().items()}
    # Only contiguous arrays are written faithfully.
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _model(facts: Mapping[str, Any], arrays: Arrays) -> EditModel:
    panel = Panel(tuple(facts["panel"]["markers"]), tuple(facts["panel"]["cofactors"]))
    autoencoder = Autoencoder(panel.n_markers, Architecture.model_validate(facts["architecture"]))
    prefix = "autoencoder."
    weights = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    autoencoder.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    edits = {
        name: Edit(name, tuple(_step(plan, arrays, f"edits.{name}.{index}.") for index, plan in enumerate(plans)))
        for name, plans in facts["edits"].items()
    }
    return EditModel(
        panel,
        Scaling(arrays["scaling.cofactors"], arrays["scaling.means"], arrays["scaling.spreads"]),
        autoencoder.eval().requires_grad_(False),
        edits,
        TypeAdapter[Design](Design).validate_python(facts["design"]),
        facts["facts"],
    )


def _step(plan: Mapping[str, Any], arrays: Arrays, prefix: str) -> FittedStep:
    step = EditStep.model_validate(plan)
    parts = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    return FittedStep(step, restore_shift(step, parts))
