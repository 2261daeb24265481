"""Whatever lies in a folder, and wherever links lead: nothing that is not a transform's own is ever changed."""

import shutil
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuronedit.adapters.files.dataset import MANIFEST, list_dataset
from neuronedit.adapters.files.staged_folder import staged_folder, write_record
from neuronedit.adapters.transform.plan import TransformPlan
from neuronedit.errors import NeuroneditError
from tests.adapters.claiming import finish, leave

pytestmark = pytest.mark.faults

FOLDERS = ("", "sub", "_receipts", "_model", "batch_id=B")
NAMES = (
    "mine.parquet",
    "A-control.parquet",
    "A-control.parquet.json",
    "model.json",
    "notes.txt",
    ".x.part",
    "Thumbs.db",
)
LEAD_TO = ("cells", "cells/A-control.parquet", "elsewhere", "edited", ".", "nowhere")


@st.composite
def clutter(draw: st.DrawFn) -> list[tuple[str, str | None]]:
    """Entries to put into a folder: names, each with what it is a link to, or None for a file of somebody else."""
    places = st.tuples(st.sampled_from(FOLDERS), st.sampled_from(NAMES)).map(lambda parts: "/".join(parts).lstrip("/"))
    # In a transform's own folder a receipt's name is the transform's: one that is damaged is written again.
    places = places.filter(lambda name: not name.startswith("_receipts/A-"))
    kinds = st.one_of(st.none(), st.sampled_from(LEAD_TO))
    return draw(st.lists(st.tuples(places, kinds), min_size=1, max_size=4))


class Workplace:
    """Raw cells, somebody's own files, and an output; what is not the product's is remembered."""

    def __init__(self, folder: Path, cells: Path) -> None:
        self.folder = folder
        self.cells = Path(shutil.copytree(cells, folder / "cells"))
        self.edited = folder / "edited"
        (folder / "elsewhere").mkdir()
        (folder / "elsewhere/thesis.parquet").write_bytes(b"years of work")
        self.plan = TransformPlan("models:/m/1", "d1", {}, list_dataset(str(self.cells)))

    def put(self, entries: list[tuple[str, str | None]], into: Path) -> dict[Path, bytes | str]:
        """Put entries into a folder where nothing has that name; gives all that must stay as it is."""
        put = []
        for name, leads_to in entries:
            place = into / name
            with suppress(FileExistsError, NotADirectoryError):
                if place.exists() or place.is_symlink():
                    continue
                place.parent.mkdir(parents=True, exist_ok=True)
                if leads_to is None:
                    place.write_bytes(b"somebody's")
                else:
                    place.symlink_to(self.folder / leads_to)
                put.append(place)
        outside = [path for part in ("cells", "elsewhere") for path in (self.folder / part).rglob("*")]
        return {path: content(path) for path in [*put, *outside] if path.is_symlink() or path.is_file()}


def content(path: Path) -> bytes | str:
    return str(path.readlink()) if path.is_symlink() else path.read_bytes()


@pytest.mark.parametrize("flag", ["overwrite", "resume", "none"])
@pytest.mark.parametrize("state", ["finished", "started", "begun", "absent"])
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=clutter(), other_plan=st.booleans())
def test_a_transform_changes_nothing_in_its_output_that_is_not_its_own(
    cells_once: Path, state: str, flag: str, entries: list[tuple[str, str | None]], other_plan: bool
) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        work = Workplace(Path(temporary), cells_once)
        if state != "absent":
            leave(work.edited, work.plan, state)
        before = work.put(entries, work.edited)
        plan = replace(work.plan, model_digest="d2") if other_plan else work.plan
        with suppress(NeuroneditError):
            finish(work.edited, plan, overwrite=flag == "overwrite", resume=flag == "resume")
        assert {path: content(path) for path in before} == before


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=clutter())
def test_a_dataset_has_each_file_once_whatever_links_are_in_it(
    cells_once: Path, entries: list[tuple[str, str | None]]
) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        work = Workplace(Path(temporary), cells_once)
        before = work.put([(f"{name}.parquet", leads_to) for name, leads_to in entries if leads_to], work.cells)
        with suppress(NeuroneditError):  # one file as two batches
            found = list_dataset(str(work.cells), pass_over=True)
            assert len({Path(file.path).resolve() for file in found.files}) == len(found.files)
        assert {path: content(path) for path in before} == before


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=clutter())
def test_a_job_that_replaces_its_folder_changes_nothing_that_is_not_its_own(
    cells_once: Path, entries: list[tuple[str, str | None]]
) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        work = Workplace(Path(temporary), cells_once)

        def review(text: str) -> None:
            with staged_folder(work.edited, "_review.json", overwrite=True) as folder:
                (folder / "sub").mkdir()
                (folder / "sub/page.html").write_text(text)
                write_record(folder, "_review.json", {})

        review("earlier")
        before = work.put(entries, work.edited)
        with suppress(NeuroneditError):
            review("later")
        assert {path: content(path) for path in before} == before
        assert (work.edited / MANIFEST).exists() is False
