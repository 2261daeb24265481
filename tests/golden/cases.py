"""Edits whose results are kept: the bytes that they have where they were recorded, and values for every machine."""

import hashlib
import platform
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import torch

from neuronedit.edits.edit import Edit
from neuronedit.model import edit_model
from neuronedit.model.edit_model import EditModel
from neuronedit.model.route import Route

FOLDER = Path(__file__).parent
EVENTS, VALUES, HASHES = "events.npy", "values.npz", "hashes.json"
"""Beside a model's own files, in its format's folder."""


def golden_folder(model_format: int) -> Path:
    return FOLDER / f"format_{model_format}"


N_KEPT = 24
"""Events of each case whose values are kept: the first of the first chunk, and the last of the second."""

ALL = "blend of all"


class Case(NamedTuple):
    """Intensities that an edit is applied to, and how."""

    edit: Edit
    intensities: np.ndarray
    route: Route


def cases(model: EditModel, events: np.ndarray) -> Iterator[tuple[str, Case]]:
    """Every edit, whole and in part, within and beyond its support, of every type of number."""
    scored = Route(support=True)
    edits = dict(model.edits) | {ALL: blended(model)}
    for name, edit in edits.items():
        shrinking = replace(edit, shrinks=True)
        yield name, Case(edit, events, scored)
        yield f"{name}, shrinking", Case(shrinking, events, scored)
        yield f"{name}, half, shrinking", Case(shrinking, events, Route(strength=0.5))
    blend = edits[ALL]
    yield "half", Case(blend, events, Route(strength=0.5))
    yield "nothing", Case(blend, events, Route(strength=0))
    for dtype in (np.float64, np.int32, np.int64, np.uint16):
        yield dtype.__name__, Case(blend, events.clip(0, 6e4).astype(dtype), Route())


def blended(model: EditModel) -> Edit:
    """All members of all edits, which are of two networks, each counting as much as another."""
    members = [member for edit in model.edits.values() for member in edit.members]
    first = next(iter(model.edits.values()))
    return replace(first, members=tuple(replace(member, weight=1 / len(members)) for member in members), student=None)


def edited(model: EditModel, case: Case) -> dict[str, np.ndarray]:
    """What comes of a case's events: their intensities, where asked for their scores, and what the edit made."""
    seen: dict[str, list[np.ndarray]] = {"after": []}
    with patch.object(edit_model, "check_edited"):  # some of the events are edited to infinity, which was recorded
        found = replace(model, edits={"pair": case.edit}).transform(
            case.intensities, None, case.route, observe=lambda *told: seen["after"].append(told[2].copy())
        )
    scores = {} if found.support is None else {"scores": found.support}
    return {"intensities": found.intensities, "after": np.concatenate(seen["after"])} | scores


def kept(array: np.ndarray) -> np.ndarray:
    return np.concatenate([array[: N_KEPT // 2], array[-N_KEPT // 2 :]])


def digest(arrays: dict[str, np.ndarray]) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays.values())).hexdigest()


def machine() -> dict[str, str]:
    """All that bits are known to depend on: products of matrices, sinh and compiled sums are a processor's own."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = {line.partition(":")[2].strip() for line in lines if line.startswith("model name")}
    return {
        "processor": ", ".join(sorted(names)) or platform.processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
