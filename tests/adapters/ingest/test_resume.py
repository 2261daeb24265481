"""An ingest stands whole or not at all, is resumed to the same bytes, and is vouched for."""

import json
from pathlib import Path

import numpy as np
import pytest
from neuronedit_jobs import verify

from neuronedit.adapters.files.dataset import list_dataset
from neuronedit.adapters.ingest.ingester import FcsIngester, IngestItem
from neuronedit.adapters.registry.lineage import trace_output
from neuronedit.adapters.transform import file_transformer
from neuronedit.adapters.transform.committed import Receipt
from neuronedit.adapters.transform.file_transformer import MAX_ATTEMPTS
from neuronedit.adapters.transform.manifest import verify_output
from neuronedit.adapters.transform.pool import _TransformLedger
from neuronedit.errors import ClusterError, DataError, OutputError, StorageError
from tests.adapters.ingest.conftest import CHANNELS, config, write_sheet, written
from tests.adapters.ingesting import ingest
from tests.adapters.killers import InThisProcess
from tests.fcs_files import write_float_fcs


class Dies(FcsIngester):
    """Ends when it comes to the third file, with half of it staged."""

    def ingest(self, item: IngestItem) -> Receipt:
        if item.output == "c.parquet":
            (self.output.location / item.output).staged().write_bytes(b"half")
            raise KeyboardInterrupt
        return super().ingest(item)


@pytest.fixture
def target(folder: Path) -> Path:
    return folder / "cells"


def cut_short(folder: Path, target: Path, **changes: object) -> None:
    with pytest.raises(KeyboardInterrupt):
        ingest(config(folder, target, **changes), Dies)


def damage(path: Path) -> None:
    """Exchange one byte of the last event."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def write_nan(path: Path) -> None:
    events = np.ones((20_000, 3), np.float32)
    events[19_999, 1] = np.nan
    write_float_fcs(path, events, CHANNELS, ("", "CD19", "CD4"))


def test_an_ingest_that_was_cut_short_is_resumed_to_the_same_bytes(
    folder: Path, target: Path, whole: dict[str, bytes]
) -> None:
    cut_short(folder, target)
    before = {path: path.stat().st_mtime_ns for path in target.glob("*.parquet")}
    assert sorted(path.name for path in before) == ["a.parquet", "b.parquet"]
    with pytest.raises(OutputError, match="the output exists and is not empty"):
        ingest(config(folder, target))
    ingest(config(folder, target, resume=True))
    assert written(target) == whole
    assert {path: path.stat().st_mtime_ns for path in before} == before, "what stood was not written again"
    assert verify_output(str(target)).problems == ()
    assert not [*target.rglob("*.part"), *target.glob("_lease-*"), *target.glob("_started.json")]


def test_one_that_was_cut_short_is_not_read(folder: Path, target: Path) -> None:
    cut_short(folder, target)
    with pytest.raises(OutputError, match=r"An ingest was started here and did not finish: run it again with resume"):
        list_dataset(str(target))
    with pytest.raises(OutputError, match=r"An ingest was started here and did not finish"):
        verify_output(str(target))


def test_other_settings_or_another_sheet_are_no_resume(folder: Path, target: Path) -> None:
    cut_short(folder, target)
    (folder / "panel.csv").write_text("marker\nCD4\n")
    for changes in ({"panel": str(folder / "panel.csv")}, {"offsets": "text"}, {"data_set": 1}):
        with pytest.raises(OutputError, match="other settings or other input files, so it cannot be resumed"):
            ingest(config(folder, target, resume=True, **changes))
    sheet = folder / "fcs/samples.csv"
    sheet.write_text(sheet.read_text().replace("d.fcs,d,b1", "d.fcs,d,b2"))
    with pytest.raises(OutputError, match="other settings or other input files, so it cannot be resumed"):
        ingest(config(folder, target, resume=True))


def test_what_does_not_change_the_events_does_not_hinder_a_resume(
    folder: Path, target: Path, whole: dict[str, bytes]
) -> None:
    cut_short(folder, target)
    ingest(config(folder, target, resume=True, on_error="quarantine", workers=1))
    assert written(target) == whole


def test_an_fcs_file_that_was_written_again_is_no_resume(folder: Path, target: Path) -> None:
    cut_short(folder, target)
    damage(folder / "fcs/a.fcs")
    with pytest.raises(StorageError, match=r"a\.fcs: not the input of which a\.parquet was made: expected sha256:"):
        ingest(config(folder, target, resume=True))


def test_an_fcs_file_that_is_written_while_it_is_read_leaves_no_output(folder: Path, target: Path) -> None:
    class WritesAgain(FcsIngester):
        def _sample(self, item: IngestItem) -> object:
            damage(Path(item.file.path))
            return super()._sample(item)

    with pytest.raises(StorageError, match=r"a\.fcs: the file was written again, or touched, since it was listed"):
        ingest(config(folder, target), WritesAgain)
    assert not list(target.rglob("*.parquet"))


def test_a_damaged_output_is_written_again_by_a_resume(folder: Path, target: Path, whole: dict[str, bytes]) -> None:
    cut_short(folder, target)
    damage(target / "a.parquet")
    ingest(config(folder, target, resume=True))
    assert written(target) == whole


def test_quarantined_files_stay_so_across_a_resume(folder: Path, target: Path) -> None:
    write_nan(folder / "fcs/b.fcs")
    (folder / "fcs/d.fcs").write_bytes(b"")
    cut_short(folder, target, on_error="quarantine")
    report = ingest(config(folder, target, resume=True, on_error="quarantine"))
    assert (report.files, report.quarantined) == (2, ("d.fcs", "b.fcs"))
    listed = json.loads((target / "_quarantine.json").read_text())
    assert [entry["file"] for entry in listed] == ["d.fcs", "b.fcs"]
    assert "channel 'Nd142Di' has nan at event 20000." in listed[1]["reason"]
    assert verify_output(str(target)).problems == ()


def test_a_file_that_ends_an_ingest_can_be_quarantined_by_its_resume_and_not_the_other_way(
    folder: Path, target: Path
) -> None:
    write_nan(folder / "fcs/c.fcs")
    with pytest.raises(DataError, match=r"c\.fcs: expected finite intensities"):
        ingest(config(folder, target))
    assert ingest(config(folder, target, resume=True, on_error="quarantine")).quarantined == ("c.fcs",)
    with pytest.raises(DataError, match=r"c\.fcs: expected finite intensities"):
        ingest(config(folder, target, resume=True))


def test_an_earlier_list_of_quarantined_files_goes_with_what_is_replaced(folder: Path, target: Path) -> None:
    (folder / "fcs/d.fcs").write_bytes(b"")
    ingest(config(folder, target, on_error="quarantine"))
    assert (target / "_quarantine.json").exists()
    write_sheet(folder / "fcs", ("a", "b"))
    ingest(config(folder, target, overwrite=True))
    assert not (target / "_quarantine.json").exists()
    assert sorted(written(target)) == ["a.parquet", "b.parquet"]


def test_what_looks_wrong_with_events_is_told_by_a_resume_too(
    folder: Path, target: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b", "c"):
        write_float_fcs(folder / f"fcs/{name}.fcs", np.ones((9, 3)), CHANNELS, ("", "CD19", "CD4"))
    cut_short(folder, target)
    assert "look transformed" not in caplog.text
    ingest(config(folder, target, resume=True))
    (said,) = [record.getMessage() for record in caplog.records if "look transformed" in record.getMessage()]
    assert said.startswith("'a.fcs', 'b.fcs', 'c.fcs': no value is beyond 12")


def test_a_file_over_which_workers_are_lost_ends_the_ingest(
    folder: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_transformer.ray, "get", lambda found: found)
    ledger = InThisProcess(_TransformLedger)

    class Lost(Exception):  # noqa: N818  the end of a process
        pass

    class LosesWorkers(FcsIngester):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, ledger=ledger)  # type: ignore[arg-type]

        def _commit(self, item: IngestItem, content: str) -> Receipt:
            raise Lost

    for attempt in range(MAX_ATTEMPTS):
        with pytest.raises(Lost):
            ingest(config(folder, target, resume=attempt > 0), LosesWorkers)
    with pytest.raises(ClusterError, match=rf"a\.fcs: {MAX_ATTEMPTS} workers were lost over it\."):
        ingest(config(folder, target, resume=True), LosesWorkers)


def test_verify_and_lineage_know_an_ingest(folder: Path, target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ingest(config(folder, target))
    assert verify.main([str(target)]) == 0
    assert capsys.readouterr().out == f"{target}: 80,000 events in 4 files, all as the manifest says\n"
    trail = trace_output(str(target))
    assert [(origin.kind, origin.title) for origin in trail.origins] == [("input", str(folder / "fcs/samples.csv"))]
    assert trail.broken == []
    damage(target / "b.parquet")
    assert verify.main([str(target)]) == 1
    assert "b.parquet: the content changed (SHA-256 differs)" in capsys.readouterr().out
