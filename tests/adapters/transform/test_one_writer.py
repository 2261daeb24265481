"""However a driver is paused or killed, an output is of one driver alone, and can be resumed."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neuronedit.adapters.transform import lease, output_folder
from neuronedit.adapters.transform.event_editor import TransformRules
from neuronedit.adapters.transform.manifest import verify_output
from neuronedit.errors import OutputError
from neuronedit.model.edit_model import EditModel
from neuronedit.model.route import Route
from tests.adapters.stepping import KillAt, Killed, Step, stepping
from tests.adapters.transform.test_lease import TAKEN_OVER
from tests.adapters.transforming import check, here, outputs, run

pytestmark = pytest.mark.faults

HALF = TransformRules(route=Route(strength=0.5))

Watched = Callable[[Step | None], None]


@pytest.fixture
def few_cells(cells: Path) -> Path:
    """Two of the dataset's files: every operation on the storage is a test."""
    for path in cells.iterdir():
        if path.name not in ("A-validation.parquet", "B-validation.parquet"):
            path.unlink()
    return cells


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "edited"


@pytest.fixture
def half(few_cells: Path, tmp_path: Path, controls_model: EditModel) -> Path:
    """The output of a driver that is alone, of half the strength."""
    run(few_cells, tmp_path / "half", controls_model, HALF, transform=here)
    return tmp_path / "half"


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    """Has drivers that start from now on tell of their operations on the output; with None, no more."""
    locate = output_folder.locate

    def watch(step: Step | None) -> None:
        monkeypatch.setattr(
            output_folder, "locate", lambda uri: stepping(locate(uri).path, step) if step else locate(uri)
        )

    return watch


class PauseAt:
    """Lets another driver do all its work at an operation of this one, counted from when it begins to edit."""

    def __init__(self, number: int, meanwhile: Callable[[], None]) -> None:
        self.left, self.meanwhile = number, meanwhile
        self.editing = False
        self.paused = ""

    def __call__(self, operation: str, path: str) -> None:
        if not self.editing or self.paused:
            return
        if not self.left:
            self.paused = f"{operation} {Path(path).name}"
            self.meanwhile()
        self.left -= 1

    def transform(self, *arguments: Any) -> Any:
        self.editing = True
        return here(*arguments)


def test_a_driver_that_is_paused_anywhere_writes_nothing_over_the_next_ones(
    few_cells: Path,
    target: Path,
    half: Path,
    controls_model: EditModel,
    watched: Watched,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lease, "SECONDS_BETWEEN_SIGNS", 600)
    places = []
    while True:
        other = replace_driver(few_cells, target, controls_model, watched)
        paused = PauseAt(len(places), other)
        watched(paused)
        told = ""
        try:
            run(few_cells, target, controls_model, transform=paused.transform, overwrite=target.exists())
        except OutputError as error:
            told = str(error)
        watched(None)
        if not paused.paused:
            break
        places.append(paused.paused)
        assert outputs(target) == outputs(half), places
        assert verify_output(str(target)).problems == (), places
        assert not list(target.rglob("*.part")), places
        # It may end well only where all was done, and was then replaced.
        assert re.search(TAKEN_OVER, told) or "move _manifest.json" in places, (places, told)
    assert places.count("move A-validation.parquet") == 1
    assert "move _manifest.json" in places


@pytest.mark.parametrize("before", ["nothing", "an output of another strength"])
def test_a_driver_that_is_killed_anywhere_leaves_an_output_that_can_be_resumed(
    few_cells: Path,
    tmp_path: Path,
    half: Path,
    controls_model: EditModel,
    watched: Watched,
    monkeypatch: pytest.MonkeyPatch,
    before: str,
) -> None:
    monkeypatch.setattr(lease, "SECONDS_BETWEEN_SIGNS", 600)
    refused, number, whole = [], 0, False
    while not whole:
        target, kill = tmp_path / f"{number}" / "edited", KillAt(number)
        target.parent.mkdir()
        if before != "nothing":
            run(few_cells, target, controls_model, transform=here)
        watched(kill)
        try:
            run(few_cells, target, controls_model, HALF, transform=here, overwrite=before != "nothing")
            whole = True
        except Killed:
            number += 1
        watched(None)
        leave(target)
        try:
            run(few_cells, target, controls_model, HALF, transform=here, resume=True)
        except OutputError as error:
            # An output of another plan stands as it was where the new one had not begun.
            if before == "nothing" or verify_output(str(target)).problems:
                refused.append((kill.killed, str(error)))
            continue
        check(target, half)
    assert refused == []
    assert number > 30


def leave(target: Path) -> None:
    """Have a driver of this process look as one that is gone."""
    for path in target.glob("_lease-*"):
        os.utime(path, (0, 0))


def replace_driver(cells: Path, target: Path, model: EditModel, watched: Watched) -> Callable[[], None]:
    def work() -> None:
        watched(None)
        leave(target)
        run(cells, target, model, HALF, transform=here, overwrite=True)

    return work
