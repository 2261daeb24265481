"""A transform that is cut short, without Ray: what is finished stands, and a resume comes to the undisturbed output."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from neuronedit.adapters.files.blocks import FilePart
from neuronedit.adapters.transform import file_transformer
from neuronedit.adapters.transform.committed import Receipt
from neuronedit.adapters.transform.file_transformer import MAX_ATTEMPTS, FileTransformer
from neuronedit.adapters.transform.manifest import verify_output
from neuronedit.adapters.transform.pool import _TransformLedger
from neuronedit.errors import ClusterError, DataError, StorageError
from neuronedit.model.edit_model import EditModel
from neuronedit.model.quality import sample
from neuronedit.model.saved.files import save_model
from tests.adapters.killers import InThisProcess
from tests.adapters.transforming import FILES, check, here, outputs, run, spoil
from tests.disasters import enlarge, small_disk

BAD = "C-validation.parquet"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "edited"


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> InThisProcess:
    monkeypatch.setattr(file_transformer.ray, "get", lambda found: found)
    return InThisProcess(_TransformLedger)


def test_resume_writes_only_what_is_missing(
    cells_once: Path, target: Path, undisturbed: Path, controls_model: EditModel
) -> None:
    run(cells_once, target, controls_model, transform=here)
    paths = sorted(target.glob("[!_]*.parquet"))
    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}
    for path in paths[::2]:
        path.unlink()
    run(cells_once, target, controls_model, resume=True, transform=here)
    kept = [path for path in paths if (path.stat().st_ino, path.stat().st_mtime_ns) == before[path]]
    assert kept == paths[1::2]
    check(target, undisturbed)


def test_support_is_scored_of_the_same_events_whoever_did_which_file_and_all_of_a_small_input(
    cells_once: Path, target: Path, controls_model: EditModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    quality = run(cells_once, target, controls_model, transform=here)["quality"]
    assert {name: facts["scored"] for name, facts in quality.items()} == {"A": 0, "B": 900, "C": 700}
    monkeypatch.setattr(sample, "ENOUGH", 100)
    fewer = run(cells_once, target, controls_model, overwrite=True, transform=here)["quality"]
    assert all(100 <= fewer[name]["scored"] <= 400 for name in "BC")
    paths = sorted(target.glob("[!_]*.parquet"))
    for path in paths[1::2]:
        path.unlink()
    backwards = lambda parts, *others: here(parts[::-1], *others)  # noqa: E731
    assert run(cells_once, target, controls_model, resume=True, transform=backwards)["quality"] == fewer


@pytest.mark.parametrize("n_bytes", [208, 215, 250, 255])
def test_a_file_with_a_long_name_is_edited_verified_and_resumed(
    cells: Path, target: Path, controls_model: EditModel, n_bytes: int
) -> None:
    name = "µ" * ((n_bytes - 8) // 2) + "b" * (n_bytes % 2) + ".parquet"
    assert len(name.encode()) == n_bytes
    for path in sorted(cells.glob("*.parquet"))[1:]:
        path.unlink()
    (path,) = cells.glob("*.parquet")
    path.rename(cells / name)
    run(cells, target, controls_model, transform=here)
    assert verify_output(str(target)).problems == ()
    before = (target / name).stat().st_mtime_ns
    run(cells, target, controls_model, resume=True, transform=here)
    assert (target / name).stat().st_mtime_ns == before
    assert verify_output(str(target)).problems == ()


def test_a_corrupt_file_among_good_ones_ends_the_job_and_the_good_ones_stand(
    cells: Path, target: Path, undisturbed: Path, controls_model: EditModel
) -> None:
    good = spoil(cells / BAD)
    with pytest.raises(DataError, match=r"C-validation\.parquet: row group 0 is damaged"):
        run(cells, target, controls_model, transform=here)
    assert outputs(target).keys() == outputs(undisturbed).keys() - {BAD}
    assert not (target / "_manifest.json").exists()
    (cells / BAD).write_bytes(good)
    run(cells, target, controls_model, resume=True, transform=here)
    check(target, undisturbed)
    assert json.loads((target / "_manifest.json").read_text())["left_out"] == []


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Less than the edited cells take."""
    with small_disk(tmp_path / "disk", kilobytes=160) as folder:
        yield folder


def test_a_full_disk_is_told_and_a_resume_with_room_completes(
    cells_once: Path, disk: Path, undisturbed: Path, tmp_path: Path, controls_model: EditModel
) -> None:
    target = disk / "edited"
    save_model(controls_model, tmp_path / "model")
    (disk / "edited-model").symlink_to(tmp_path / "model")
    with pytest.raises(StorageError, match=r": no room is left \(.*No space left on device"):
        run(cells_once, target, controls_model, transform=here)
    finished = outputs(target)
    assert 0 < len(finished) < 6
    assert finished.items() <= outputs(undisturbed).items(), "no file is cut short"
    enlarge(disk)
    run(cells_once, target, controls_model, resume=True, transform=here)
    check(target, undisturbed)


def test_finished_files_of_a_task_that_is_done_again_are_not_counted_as_tried(
    cells_once: Path, target: Path, controls_model: EditModel, ledger: InThisProcess
) -> None:
    def six_times(parts: list[FilePart], *arguments: Any) -> list[Receipt]:
        *others, _ = arguments
        workers = [FileTransformer(*others, ledger=ledger) for _ in range(6)]
        return [[worker.transform(part) for part in parts] for worker in workers][-1]

    run(cells_once, target, controls_model, transform=six_times)
    assert set(ledger.actor.attempts.values()) == {1}
    assert len(ledger.actor.attempts) == 6


def test_a_file_over_which_workers_are_lost_is_taken_for_the_reason_and_the_others_stand(
    cells_once: Path, target: Path, controls_model: EditModel, ledger: InThisProcess
) -> None:
    class Lost(Exception):  # noqa: N818  the end of a process
        pass

    class Dies(FileTransformer):
        def _commit(self, stream: Any, part: FilePart, content: str) -> Any:
            if part.output == BAD:
                raise Lost
            return super()._commit(stream, part, content)

    def again_and_again(parts: list[FilePart], *arguments: Any) -> list[Receipt]:
        *others, _ = arguments
        for _ in range(MAX_ATTEMPTS):
            with pytest.raises(Lost):
                [Dies(*others, ledger=ledger).transform(part) for part in parts]
        return [Dies(*others, ledger=ledger).transform(part) for part in parts]

    message = rf"C-validation\.parquet: {MAX_ATTEMPTS} workers were lost over it\. Look for their reason in Ray's logs"
    with pytest.raises(ClusterError, match=message):
        run(cells_once, target, controls_model, transform=again_and_again)
    assert len(outputs(target)) == 5
    assert not (target / "_manifest.json").exists()


def test_a_file_that_ends_its_readers_is_told_or_left_out_in_quarantine(
    cells_once: Path, target: Path, controls_model: EditModel, ledger: InThisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends(filesystem: Any, path: str) -> None:
        if path.endswith(BAD):
            raise DataError(f"{path}: reading it ends the process (SIGABRT)")

    def second_attempt(parts: list[FilePart], *arguments: Any) -> list[Receipt]:
        *others, _ = arguments
        for part in parts:
            ledger.actor.begin(part.output)
        return [FileTransformer(*others, ledger=ledger).transform(part) for part in parts]

    monkeypatch.setattr(file_transformer, "probe", ends)
    with pytest.raises(DataError, match=r"C-validation\.parquet: reading it ends the process"):
        run(cells_once, target, controls_model, transform=second_attempt)
    ledger.actor.attempts.clear()
    files = replace(FILES, quarantine=True)
    manifest = run(cells_once, target, controls_model, files=files, resume=True, transform=second_attempt)
    assert [(entry["file"], entry["events"]) for entry in manifest["left_out"]] == [(BAD, 350)]
    assert len(outputs(target)) == 5
