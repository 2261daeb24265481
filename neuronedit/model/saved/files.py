"""A model on disk: ``model.json`` and ``model.safetensors`` in one folder. No pickle, no code."""

import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from neuronedit.cells.panel import Panel
from neuronedit.cells.transforms import transform_facts
from neuronedit.edits.edit import Edit
from neuronedit.edits.learnable import UNLEARNABLE, UNMOVED, by_marker
from neuronedit.errors import ModelError, NeuroneditError, OutputError
from neuronedit.model.edit_model import EditModel
from neuronedit.model.saved.facts import MAX_FACTS_BYTES, REMEDY, parse_facts, parse_json, short
from neuronedit.model.saved.readers import READERS

MODEL_FORMAT = 5
"""The format that is written; ``READERS`` names those that can be read."""

FACTS, ARRAYS = "model.json", "model.safetensors"

MAX_ARRAYS_BYTES = 16 * 1024**3
"""An edit has about 3 MB of arrays: five thousand of them."""

Arrays = dict[str, npt.NDArray[Any]]


def save_model(model: EditModel, folder: str | Path) -> str:
    """Write a model into a new folder, all or nothing; make those above it. Give its digest, SHA-256 over all of it.

    Example:
        >>> import tempfile
        >>> from neuronedit import load_model, save_model
        >>> from neuronedit.model.example import example_cells, example_model
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     digest = save_model(example_model(), f"{folder}/model")
        ...     edited = load_model(f"{folder}/model").apply(example_cells(), "pair")
        >>> (edited == example_model().apply(example_cells(), "pair")).all()
        np.True_

    Raises:
        OutputError: The folder exists.
        ModelError: The model could not be loaded again: it is not finite.
    """
    folder = Path(folder)
    if folder.exists():
        raise OutputError(f"{folder}: the model's folder exists. Choose another name, or remove it first.")
    contents = _contents(model)
    parse_model(contents, f"{folder}: not saved")
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, content in contents.items():
            (staging / name).write_bytes(content)
        staging.chmod(0o755)
        staging.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return contents_digest(contents)


def load_model(folder: str | Path) -> EditModel:
    """Read a model that ``save_model`` wrote into a folder; it computes the same bits as the one saved.

    Example:
        >>> from neuronedit import load_model
        >>> load_model("nowhere")
        Traceback (most recent call last):
        neuronedit.errors.ModelError: nowhere: not a neuronedit model (No such file or directory: ...

    Raises:
        ModelError: A file is missing, damaged, of another model, or of a newer format; or the model is not finite.
    """
    return parse_model(model_contents(folder), str(folder))


def model_contents(folder: str | Path) -> dict[str, bytes]:
    """Read the bytes of a model's two files, by name.

    Raises:
        ModelError: A file is missing, huge, or no file.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     digest = save_model(example_model(), f"{folder}/model")
        ...     list(model_contents(f"{folder}/model"))
        ['model.json', 'model.safetensors']
    """
    return {
        name: _read_file(Path(folder) / name, folder, limit)
        for name, limit in ((FACTS, MAX_FACTS_BYTES), (ARRAYS, MAX_ARRAYS_BYTES))
    }


def _read_file(path: Path, folder: str | Path, limit: int) -> bytes:
    try:
        # A FIFO is not waited for: what it is shows once it is open.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise ModelError(f"{path}: expected a file, found a folder, device or pipe. {REMEDY}")
            if found.st_size > limit:
                raise ModelError(f"{path}: {found.st_size:,} bytes; expected at most {limit:,}. {REMEDY}")
            return file.read()
    except OSError as error:
        raise ModelError(
            f"{folder}: not a neuronedit model ({error.strerror}: {error.filename}). "
            f"Expected a folder with {FACTS} and {ARRAYS}."
        ) from error
    except (MemoryError, ValueError) as error:  # ValueError: a null byte in the name
        raise ModelError(f"{path}: cannot be read ({error or 'no memory is left'}). {REMEDY}") from error


DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    NeuroneditError,
    RuntimeError,  # of torch, and nesting without end
    SafetensorError,
    TypeError,
    ValueError,
)
"""What a file that was damaged in a way that no check names lets the reading code raise."""


def parse_model(contents: Mapping[str, bytes], where: str) -> EditModel:
    """Read a model from the bytes of its two files, as ``model_contents`` gives them; messages say ``where``.

    Raises:
        ModelError: A file is damaged, of another model, or of a newer format; or the model is not finite.

    Example:
        >>> parse_model({FACTS: b'{"format": 6}', ARRAYS: b""}, "model")
        Traceback (most recent call last):
        neuronedit.errors.ModelError: model: expected model format 3, 4 or 5, found 6. Use ...
    """
    read = parse_json(contents[FACTS], f"{where}: {FACTS}")
    found = read.get("format") if isinstance(read, dict) else None
    if type(found) is not int or found not in READERS:  # JSON may hold what no dict can be asked for
        *older, newest = map(str, READERS)
        formats = f"{', '.join(older)} or {newest}"
        raise ModelError(
            f"{where}: expected model format {formats}, found {short(found)}. Use the neuronedit that wrote the model."
        )
    facts = parse_facts(read, f"{where}: {FACTS}")
    if hashlib.sha256(contents[ARRAYS]).hexdigest() != facts.arrays_sha256:
        raise ModelError(
            f"{where}: {ARRAYS} does not belong to {FACTS} beside it (SHA-256 differs). Weights, panel, scaling "
            "and percentiles are one artefact: restore both files."
        )
    try:
        return READERS[found](facts, safetensors.numpy.load(contents[ARRAYS]), where)
    except ModelError:
        raise
    except DAMAGE as error:
        told = (str(error).splitlines() or [""])[0][:200]
        raise ModelError(f"{where}: incomplete model ({type(error).__name__}: {told}). {REMEDY}") from error


def digest_of(model: EditModel) -> str:
    """Compute the digest that the model has where it is saved (see ``contents_digest``).

    Example:
        >>> from neuronedit.model.example import example_model
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_model(example_model(), f"{folder}/model") == digest_of(example_model())
        True
    """
    return contents_digest(_contents(model))


def _contents(model: EditModel) -> dict[str, bytes]:
    arrays = safetensors.numpy.save(_arrays(model))
    facts = json.dumps(_facts(model, hashlib.sha256(arrays).hexdigest()), indent=2, sort_keys=True)
    return {FACTS: f"{facts}\n".encode(), ARRAYS: arrays}


def contents_digest(contents: Mapping[str, bytes]) -> str:
    """Compute the SHA-256 of ``model.json``, which holds the SHA-256 of ``model.safetensors``.

    Example:
        >>> contents_digest({FACTS: b"{}"})[:8]
        '44136fa3'
    """
    return hashlib.sha256(contents[FACTS]).hexdigest()


def model_digest(folder: str | Path) -> str:
    """Compute the digest of the model in a folder (see ``contents_digest``).

    Raises:
        ModelError: A file is missing, huge, or no file.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_model(example_model(), f"{folder}/model") == model_digest(f"{folder}/model")
        True
    """
    return contents_digest(model_contents(folder))


def _facts(model: EditModel, arrays_sha256: str) -> dict[str, Any]:
    return {
        "format": MODEL_FORMAT,
        "arrays_sha256": arrays_sha256,
        "panel": _panel_facts(model.panel),
        "architecture": model.autoencoder.architecture.model_dump(mode="json"),
        "design": model.design.model_dump(mode="json", exclude_none=True),
        "autoencoders": len(model.autoencoders),
        "edits": {name: _edit_facts(edit, model.panel.markers) for name, edit in model.edits.items()},
        "facts": dict(model.facts),
    }


def _panel_facts(panel: Panel) -> dict[str, Any]:
    roles = {"roles": dict(panel.roles)} if panel.roles else {}
    return {"markers": panel.markers, "transforms": list(map(transform_facts, panel.transforms))} | roles


def _edit_facts(edit: Edit, markers: Sequence[str]) -> dict[str, Any]:
    unlearnable, unmoved = by_marker(edit.unlearnable, markers), [markers[column] for column in edit.unmoved]
    left = {key: names for key, names in ((UNLEARNABLE, unlearnable), (UNMOVED, unmoved)) if names}
    distilled = {"student": edit.student is not None, "fidelity": edit.fidelity.facts()} if edit.fidelity else {}
    return (
        left
        | distilled
        | {
            "members": [
                {
                    "plan": member.plan,
                    "weight": member.weight,
                    "autoencoder": member.autoencoder,
                    "steps": [step.plan.facts() for step in member.steps],
                }
                for member in edit.members
            ],
            "shrinks": edit.shrinks,
            "errors": edit.errors.facts() if edit.errors else None,
        }
    )


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
            "spikes.": edit.spikes.arrays(),
            "support.": edit.support.arrays(),
            "target.": {"percentiles": edit.target_percentiles},
        }
        if edit.student:
            parts["student."] = edit.student.arrays()
        for number, member in enumerate(edit.members):
            for index, step in enumerate(member.steps):
                places = step.plan.places(model.autoencoder.architecture)
                parts |= {f"{number}.{index}.{place}": step.shifts[layer].arrays() for place, layer in places.items()}
        arrays |= {f"edits.{name}.{part}{key}": array for part, found in parts.items() for key, array in found.items()}
    # Only contiguous arrays are written faithfully.
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}
