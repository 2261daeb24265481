"""A model on disk: ``model.json`` and ``model.safetensors`` in one folder. No pickle, no code."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError

from neuronedit.cells.design import Design
from neuronedit.cells.panel import Panel
from neuronedit.cells.scaling import Scaling
from neuronedit.cells.transforms import make_transform, transform_facts
from neuronedit.edits.auto import PlanChoice
from neuronedit.edits.edit import Edit, Member
from neuronedit.edits.learnable import UNLEARNABLE, by_column, by_marker, hidden_columns
from neuronedit.edits.spikes import Spikes
from neuronedit.edits.steps import OPERATORS, EditStep, FittedStep
from neuronedit.edits.support import Support
from neuronedit.errors import ModelError, OutputError, PanelError
from neuronedit.model.edit_model import EditModel
from neuronedit.network.autoencoder import Architecture, Autoencoder

MODEL_FORMAT = 4
"""The format that is written; ``READERS`` names those that can be read."""

FACTS, ARRAYS = "model.json", "model.safetensors"

Arrays = dict[str, npt.NDArray[Any]]


def save_model(model: EditModel, folder: str | Path) -> str:
    """Write a model into a new folder, all or nothing.

    Args:
        model: The model.
        folder: A new folder; those above it are made.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from neuronedit import EditConfig, PairDesign, Panel, TrainingPlan, fit_model, load_model, save_model
        >>> cells = np.random.default_rng(0).lognormal(3.0, 0.5, (300, 2))
        >>> fitted = fit_model(
        ...     {"source": cells, "target": 2 * cells},
        ...     Panel(("CD4", "CD8"), (5.0, 5.0)),
        ...     PairDesign.of_arrays(),
        ...     training=TrainingPlan(epochs=1),
        ...     edit=EditConfig(preset="quantile-map"),
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     digest = save_model(fitted.model, f"{folder}/model")
        ...     loaded = load_model(f"{folder}/model")
        >>> (loaded.apply(cells, "pair") == fitted.model.apply(cells, "pair")).all()
        np.True_

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

    Args:
        folder: The folder of its two files.

    Example:
        >>> from neuronedit import load_model
        >>> load_model("nowhere")
        Traceback (most recent call last):
        neuronedit.errors.ModelError: nowhere: not a neuronedit model (No such file or directory: ...

    Raises:
        ModelError: A file is missing, damaged, of another model, or of a newer format.
    """
    return parse_model(model_contents(folder), str(folder))


def model_contents(folder: str | Path) -> dict[str, bytes]:
    """Read the bytes of a model's two files, by name.

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
    """Read a model from the bytes of its two files.

    Args:
        contents: The bytes by file name, as ``model_contents`` gives them.
        where: The files' place, for the message.

    Raises:
        ModelError: A file is damaged, of another model, or of a newer format.

    Example:
        >>> parse_model({FACTS: b'{"format": 5}', ARRAYS: b""}, "model")
        Traceback (most recent call last):
        neuronedit.errors.ModelError: model: expected model format 3 or 4, found 5. Use the neuronedit that wrote ...
    """
    try:
        facts = json.loads(contents[FACTS])
    except ValueError as error:
        raise ModelError(f"{where}: {FACTS}: damaged, not valid JSON ({error}). Restore the model's folder.") from error
    found = facts.get("format") if isinstance(facts, dict) else None
    if found not in tuple(READERS):  # JSON may hold what no dict can be asked for
        formats = " or ".join(map(str, READERS))
        raise ModelError(
            f"{where}: expected model format {formats}, found {found!r}. Use the neuronedit that wrote the model."
        )
    try:
        if hashlib.sha256(contents[ARRAYS]).hexdigest() != facts["arrays_sha256"]:
            raise ModelError(
                f"{where}: {ARRAYS} does not belong to {FACTS} beside it (SHA-256 differs). Weights, panel, scaling "
                "and percentiles are one artefact: restore both files."
            )
        return READERS[found](facts, safetensors.numpy.load(contents[ARRAYS]), where)
    # RuntimeError is what torch raises where weights do not fit the network.
    except (AttributeError, KeyError, TypeError, RuntimeError, ValidationError, SafetensorError) as error:
        raise ModelError(f"{where}: incomplete model ({type(error).__name__}: {error}). Restore the folder.") from error


def model_digest(folder: str | Path) -> str:
    """Compute the SHA-256 of ``model.json``, which holds the SHA-256 of ``model.safetensors``."""
    return hashlib.sha256((Path(folder) / FACTS).read_bytes()).hexdigest()


def _facts(model: EditModel, arrays_sha256: str) -> dict[str, Any]:
    return {
        "format": MODEL_FORMAT,
        "arrays_sha256": arrays_sha256,
        "panel": {"markers": model.panel.markers, "transforms": list(map(transform_facts, model.panel.transforms))},
        "architecture": model.autoencoder.architecture.model_dump(mode="json"),
        "design": model.design.model_dump(mode="json"),
        "autoencoders": len(model.autoencoders),
        "edits": {name: _edit_facts(edit, model.panel.markers) for name, edit in model.edits.items()},
        "facts": dict(model.facts),
    }


def _edit_facts(edit: Edit, markers: Sequence[str]) -> dict[str, Any]:
    return ({UNLEARNABLE: by_marker(edit.unlearnable, markers)} if edit.unlearnable else {}) | {
        "members": [
            {
                "plan": member.plan,
                "weight": member.weight,
                "autoencoder": member.autoencoder,
                "steps": [step.plan.model_dump(mode="json") for step in member.steps],
            }
            for member in edit.members
        ],
        "shrinks": edit.shrinks,
        "choice": edit.choice.facts() if edit.choice else None,
    }


def _arrays(model: EditModel) -> Arrays:
    arrays: Arrays = {
        "scaling.means": model.scaling.means,
        "scaling.spreads": model.scaling.spreads,
    }
    for number, autoencoder in enumerate(model.autoencoders):
        weights = autoencoder.state_dict().items()
        arrays |= {f"autoencoders.{number}.{name}": weight.cpu().numpy() for name, weight in weights}
    for name, edit in model.edits.items():
        parts = {
            "spikes": edit.spikes.arrays(),
            "support": edit.support.arrays(),
            "target": {"percentiles": edit.target_percentiles},
        }
        for number, member in enumerate(edit.members):
            parts |= {f"{number}.{index}": step.shift.arrays() for index, step in enumerate(member.steps)}
        arrays |= {f"edits.{name}.{part}.{key}": array for part, found in parts.items() for key, array in found.items()}
    # Only contiguous arrays are written faithfully.
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def read_3(facts: Mapping[str, Any], arrays: Arrays, where: str) -> EditModel:
    """Read format 3, in which every marker is transformed by arcsinh."""
    return _model(facts, Panel(facts["panel"]["markers"], facts["panel"]["cofactors"]), arrays, where)


def read_4(facts: Mapping[str, Any], arrays: Arrays, where: str) -> EditModel:
    """Read format 4, which names each marker's transform.

    Raises:
        ModelError: There is no such transform.
    """
    try:
        transforms = [
            make_transform(recorded["name"], {name: value for name, value in recorded.items() if name != "name"})
            for recorded in facts["panel"]["transforms"]
        ]
    except PanelError as error:
        raise ModelError(f"{where}: {error} Or use the neuronedit that wrote the model.") from error
    return _model(facts, Panel(facts["panel"]["markers"], transforms), arrays, where)


READERS = {3: read_3, 4: read_4}
"""Readers by format; ``tests/golden`` has a model of each."""


def _model(facts: Mapping[str, Any], panel: Panel, arrays: Arrays, where: str) -> EditModel:
    architecture = _architecture(facts["architecture"], where)
    return EditModel(
        panel,
        Scaling(panel.transforms, arrays["scaling.means"], arrays["scaling.spreads"]),
        tuple(
            _autoencoder(panel.n_markers, architecture, _below(f"autoencoders.{number}.", arrays))
            for number in range(facts["autoencoders"])
        ),
        {name: _edit(name, found, panel, _below(f"edits.{name}.", arrays)) for name, found in facts["edits"].items()},
        TypeAdapter[Design](Design).validate_python(facts["design"]),
        facts["facts"],
    )


def _architecture(recorded: Mapping[str, Any], where: str) -> Architecture:
    """Read the layers' widths; older models also record in which blocks the code's neurons compete."""
    block = recorded.get("competitive", 1)
    if block != 1:
        raise ModelError(
            f"{where}: expected a code whose neurons do not compete, found architecture.competitive = {block!r}. Use "
            "the neuronedit that wrote the model, or train it again without autoencoder.competitive."
        )
    return Architecture.model_validate({name: value for name, value in recorded.items() if name != "competitive"})


def _autoencoder(n_markers: int, architecture: Architecture, weights: Arrays) -> Autoencoder:
    autoencoder = Autoencoder(n_markers, architecture)
    autoencoder.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return autoencoder.eval().requires_grad_(False)


def _edit(name: str, facts: Mapping[str, Any], panel: Panel, arrays: Arrays) -> Edit:
    unlearnable = by_column(facts.get(UNLEARNABLE, {}), panel.markers)
    members = tuple(
        Member(
            member["plan"],
            member["weight"],
            member["autoencoder"],
            tuple(_step(plan, _below(f"{number}.{index}.", arrays)) for index, plan in enumerate(member["steps"])),
        )
        for number, member in enumerate(facts["members"])
    )
    return Edit(
        name,
        members,
        Spikes.from_arrays(_below("spikes.", arrays)),
        Support.from_arrays(_below("support.", arrays), hidden_columns(unlearnable, panel.n_markers)),
        arrays["target.percentiles"],
        facts["shrinks"],
        PlanChoice.from_facts(facts["choice"]) if facts["choice"] else None,
        unlearnable,
    )


def _step(plan: Mapping[str, Any], arrays: Arrays) -> FittedStep:
    step = EditStep.model_validate(plan)
    return FittedStep(step, OPERATORS[step.operator].restore(step, arrays))


def _below(prefix: str, arrays: Arrays) -> Arrays:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
