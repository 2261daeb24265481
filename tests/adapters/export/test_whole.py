"""An export stands whole or not at all, is resumed, repeats byte for byte, and leads back to the model."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from neuronedit_jobs import verify

import neuronedit
from neuronedit.adapters.export.exporter import Exporter, ExportItem
from neuronedit.adapters.registry.lineage import trace_output
from neuronedit.adapters.transform import file_transformer
from neuronedit.adapters.transform.committed import Receipt
from neuronedit.adapters.transform.file_transformer import MAX_ATTEMPTS
from neuronedit.adapters.transform.manifest import verify_output
from neuronedit.adapters.transform.pool import _TransformLedger
from neuronedit.errors import ClusterError, DataError, OutputError, StorageError
from neuronedit.model.edit_model import EditModel
from tests.adapters.exporting import export, write_cells
from tests.adapters.killers import InThisProcess
from tests.adapters.transforming import here, run
from tests.flowcore import read_by_flowcore


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "fcs"


@pytest.fixture(scope="session")
def whole(cells_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export that nothing disturbed."""
    target = tmp_path_factory.mktemp("whole") / "fcs"
    export(cells_once, target)
    return target


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.fcs")}


def text_of(path: Path) -> dict[str, str]:
    return read_by_flowcore(path.read_bytes())[0]


class Dies(Exporter):
    """Ends when it comes to the third file, with half of it staged."""

    def export(self, item: ExportItem) -> Receipt:
        if item.output == "Norm_B-control.fcs":
            (self.output.location / item.output).staged().write_bytes(b"half")
            raise KeyboardInterrupt
        return super().export(item)


def test_the_same_input_gives_the_same_bytes(cells_once: Path, target: Path, whole: Path) -> None:
    export(cells_once, target)
    assert written(target) == written(whole)
    assert len(written(whole)) == 6
    assert len({text_of(path)["GUID"] for path in whole.glob("*.fcs")}) == 6


def test_an_export_that_was_cut_short_is_resumed_to_the_same_bytes(cells_once: Path, target: Path, whole: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        export(cells_once, target, Dies)
    assert written(target).items() < written(whole).items()
    before = {path: path.stat().st_mtime_ns for path in target.glob("*.fcs")}
    assert len(before) == 2
    with pytest.raises(OutputError, match="the output exists and is not empty"):
        export(cells_once, target)
    with pytest.raises(OutputError, match="was started here and did not finish"):
        verify_output(str(target))
    export(cells_once, target, resume=True)
    assert written(target) == written(whole)
    assert {path: path.stat().st_mtime_ns for path in before} == before, "what stood was not written again"
    assert verify_output(str(target)).problems == ()
    assert not [*target.rglob("*.part"), *target.glob("_lease-*"), *target.glob("_started.json")]


def test_other_settings_are_no_resume(cells_once: Path, target: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        export(cells_once, target, Dies)
    for settings in ({"prefix": "x"}, {"csv": True}, {"where": {"donor": "P1"}}, {"leave_out": ("Time",)}):
        with pytest.raises(OutputError, match="other settings or other input files, so it cannot be resumed"):
            export(cells_once, target, resume=True, **settings)


def test_input_that_was_written_again_is_no_resume(cells: Path, target: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        export(cells, target, Dies)
    path = cells / "A-control.parquet"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(StorageError, match=r"not the input of which Norm_A-control\.fcs was made: expected sha256:"):
        export(cells, target, resume=True)


def test_a_file_over_which_workers_are_lost_ends_the_export(
    cells_once: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_transformer.ray, "get", lambda found: found)
    ledger = InThisProcess(_TransformLedger)

    class Lost(Exception):  # noqa: N818  the end of a process
        pass

    class LosesWorkers(Exporter):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, ledger=ledger)  # type: ignore[arg-type]

        def _pinned(self, item: ExportItem, source: object) -> str:
            raise Lost

    for attempt in range(MAX_ATTEMPTS):
        with pytest.raises(Lost):
            export(cells_once, target, LosesWorkers, resume=attempt > 0)
    with pytest.raises(ClusterError, match=rf"A-control\.parquet: {MAX_ATTEMPTS} workers were lost over it\."):
        export(cells_once, target, LosesWorkers, resume=True)


def test_files_of_somebody_else_are_named_and_stay(cells_once: Path, target: Path) -> None:
    export(cells_once, target)
    (target / "Norm_mine.fcs").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"found also 'Norm_mine\.fcs'\. Nothing was touched"):
        export(cells_once, target, overwrite=True)
    assert (target / "Norm_mine.fcs").read_bytes() == b"mine"
    assert len(written(target)) == 7


def test_an_earlier_export_is_replaced_where_asked(cells: Path, target: Path) -> None:
    export(cells, target)
    (cells / "A-control.parquet").unlink()
    export(cells, target, overwrite=True, prefix="")
    assert sorted(written(target)) == sorted(f"{path.stem}.fcs" for path in cells.iterdir())
    assert verify_output(str(target)).problems == ()


def test_the_output_of_a_transform_is_never_replaced(cells_once: Path, undisturbed: Path, tmp_path: Path) -> None:
    edited = Path(shutil.copytree(undisturbed, tmp_path / "edited"))
    before = {path: path.read_bytes() for path in edited.rglob("*") if path.is_file()}
    with pytest.raises(
        OutputError, match=r"edited: expected an output of export; found one of transform, which only transform may"
    ):
        export(cells_once, edited, overwrite=True)
    assert {path: path.read_bytes() for path in edited.rglob("*") if path.is_file()} == before


def test_a_transform_never_replaces_the_output_of_an_export(
    cells_once: Path, controls_model: EditModel, target: Path
) -> None:
    export(cells_once, target)
    before = {path: path.read_bytes() for path in target.rglob("*") if path.is_file()}
    with pytest.raises(OutputError, match="expected an output of transform; found one of export"):
        run(cells_once, target, controls_model, overwrite=True, transform=here)
    assert {path: path.read_bytes() for path in target.rglob("*") if path.is_file()} == before


def test_verify_tells_what_is_missing_changed_and_surplus(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = Path(shutil.copytree(whole, tmp_path / "fcs"))
    assert verify.main([str(target)]) == 0
    assert capsys.readouterr().out == f"{target}: 2,500 events in 6 files, all as the manifest says\n"
    (target / "Norm_A-control.fcs").unlink()
    content = bytearray((target / "Norm_B-control.fcs").read_bytes())
    content[-100] ^= 1
    (target / "Norm_B-control.fcs").write_bytes(content)
    (target / "Norm_mine.fcs").write_bytes(b"mine")
    assert verify.main([str(target)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "Norm_A-control.fcs: missing",
        "Norm_B-control.fcs: the content changed (SHA-256 differs)",
        "Norm_mine.fcs: not of this output, and readers would take it for a part",
        f"{target}: 3 problems among 6 files",
    ]


class TestLineage:
    @pytest.fixture(scope="class")
    def edited(self, cells_once: Path, controls_model: EditModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A transform's output in two parts for each large file, with what the job's manifest says of its model."""
        target = tmp_path_factory.mktemp("edited") / "edited"
        run(cells_once, target, controls_model, transform=here, max_bytes=25_000)
        manifest = json.loads((target / "_manifest.json").read_text())
        manifest["model"] = {"uri": "models:/cells/1", "sha256": "d" * 64}
        manifest["config"] = {"edits": "[]", "strength": "0.5"}
        manifest["finished"] = "2026-11-29T20:05:09+00:00"
        (target / "_manifest.json").write_text(json.dumps(manifest))
        return target

    def test_keywords_lead_back_to_the_model(self, edited: Path, target: Path) -> None:
        export(edited, target)
        listed = {entry["file"]: entry for entry in json.loads((edited / "_manifest.json").read_text())["outputs"]}
        text = text_of(target / "Norm_B-control.fcs")
        parts = [entry for name, entry in sorted(listed.items()) if name.startswith("B-control")]
        assert (
            text.items()
            >= {
                "NEURONEDIT_MODEL": "models:/cells/1",
                "NEURONEDIT_DIGEST": "d" * 64,
                "NEURONEDIT_EDITS": "each batch's own",
                "NEURONEDIT_STRENGTH": "0.5",
                "NEURONEDIT_EDITED": "500",
                "NEURONEDIT_INPUT_SHA256": ", ".join(part["sha256"] for part in parts),
                "BATCH_ID": "B",
                "$LAST_MODIFIED": "29-NOV-2026 20:05:09",
                "$LAST_MODIFIER": f"neuronedit {neuronedit.__version__}",
            }.items()
        )
        assert len(parts) > 1
        assert sorted(written(target)) == sorted(f"Norm_{b}-{r}.fcs" for b in "ABC" for r in ("control", "validation"))

    def test_events_of_an_edit_without_effect_are_not_called_edited(
        self, cells_once: Path, controls_model: EditModel, tmp_path: Path, target: Path
    ) -> None:
        idle = {name: replace(edit, members=()) for name, edit in controls_model.edits.items()}
        run(cells_once, tmp_path / "edited", replace(controls_model, edits=idle), transform=here)
        export(tmp_path / "edited", target)
        assert text_of(target / "Norm_B-control.fcs")["NEURONEDIT_EDITED"] == "0"

    def test_a_part_that_the_transform_left_out_is_not_missed_and_one_that_it_wrote_is(
        self, edited: Path, tmp_path: Path, target: Path
    ) -> None:
        copy = Path(shutil.copytree(edited, tmp_path / "edited"))
        first = next(iter(sorted(copy.glob("B-control-*.parquet"))))
        first.unlink()
        with pytest.raises(DataError, match=r"missing: 'B-control-00001-of-0000\d\.parquet'\. Restore them\."):
            export(copy, target)
        manifest = json.loads((copy / "_manifest.json").read_text())
        manifest["outputs"] = [entry for entry in manifest["outputs"] if entry["file"] != first.name]
        (copy / "_manifest.json").write_text(json.dumps(manifest))
        export(copy, target)
        assert int(text_of(target / "Norm_B-control.fcs")["$TOT"]) < 500

    def test_one_file_of_an_output_knows_its_model(self, edited: Path, target: Path) -> None:
        (path, *_) = sorted(edited.glob("A-validation*.parquet"))
        export(path, target)
        assert text_of(target / "Norm_A-validation.fcs")["NEURONEDIT_MODEL"] == "models:/cells/1"

    def test_lineage_follows_an_export_to_its_transform(self, edited: Path, target: Path, tmp_path: Path) -> None:
        export(edited, target)
        trail = trace_output(str(target), f"sqlite:///{tmp_path}/none.db")
        assert [origin.title for origin in trail.origins] == [str(edited)]
        assert "model models:/cells/1" in trail.tree()

    def test_lineage_of_an_export_whose_transform_is_gone_says_so(
        self, edited: Path, tmp_path: Path, target: Path
    ) -> None:
        copy = Path(shutil.copytree(edited, tmp_path / "edited"))
        export(copy, target)
        copy.rename(tmp_path / "elsewhere")
        (problem,) = trace_output(str(target)).broken
        assert problem.startswith(f"{copy}: it was edited by models:/cells/1. {copy}: no _manifest.json.")

    def test_lineage_of_what_no_transform_wrote_ends_at_the_input(self, tmp_path: Path, target: Path) -> None:
        write_cells(tmp_path / "cells/a.parquet", {"CD3": [1.0]})
        export(tmp_path / "cells", target)
        trail = trace_output(str(target))
        assert [(origin.kind, origin.title) for origin in trail.origins] == [("input", str(tmp_path / "cells"))]
        assert trail.broken == []
