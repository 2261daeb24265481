import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from neuronedit.adapters.committed_file import commit_parquet
from neuronedit.adapters.output_folder import (
    MANIFEST,
    MODEL,
    STARTED,
    FileReport,
    OutputFolder,
    TransformPlan,
    claim_output,
)
from neuronedit.adapters.parquet import EventDataset, list_dataset
from neuronedit.adapters.storage import Location
from neuronedit.errors import OutputError
from neuronedit.model import EditModel
from neuronedit.model_files import model_contents, save_model

COUNTS = {"edited": 3, "reference": 1}
CONTENTS = {"model.json": b"{}", "model.safetensors": b""}
CONFIG = {"compression": "zstd", "where": "{}"}


@pytest.fixture
def plan(cells_once: Path) -> TransformPlan:
    return TransformPlan("models:/m/1", "d1", {"where": {}}, list_dataset(str(cells_once)))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "edited"


def claim(target: Path, plan: TransformPlan, *, overwrite: bool = False, resume: bool = False) -> OutputFolder:
    return claim_output(str(target), plan, CONTENTS, overwrite=overwrite, resume=resume)


def write_file(output: OutputFolder, plan: TransformPlan, name: str) -> None:
    table = pq.read_table(f"{plan.inputs.uri}/{name}")
    stamp = {"plan": output.plan_digest, "counts": COUNTS}
    commit_parquet(output.location / name, table.schema, [table], lambda: stamp, "zstd")


def finish(target: Path, plan: TransformPlan, *, overwrite: bool = False) -> OutputFolder:
    output = claim(target, plan, overwrite=overwrite)
    for file in plan.inputs.files:
        write_file(output, plan, file.name)
    output.complete(plan, output.reports(plan.inputs.files), CONFIG)
    return output


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_new_folder_is_claimed_with_a_note_and_the_model(target: Path, plan: TransformPlan) -> None:
    output = claim(target, plan)
    assert set(tree(target)) == {STARTED, f"{MODEL}/model.json", f"{MODEL}/model.safetensors"}
    note = json.loads((target / STARTED).read_text())
    assert note == {"plan_sha256": plan.digest(), "model": "models:/m/1", "started": output.started}


def test_an_empty_folder_is_claimed(target: Path, plan: TransformPlan) -> None:
    target.mkdir()
    assert claim(target, plan).plan_digest == plan.digest()


def test_the_claimed_folder_hands_out_the_model(
    target: Path, plan: TransformPlan, controls_model: EditModel, tmp_path: Path
) -> None:
    save_model(controls_model, tmp_path / "model")
    output = claim_output(str(target), plan, model_contents(tmp_path / "model"), overwrite=False, resume=False)
    assert output.model().edits.keys() == controls_model.edits.keys()


def test_the_plans_digest_changes_with_model_settings_and_input(plan: TransformPlan) -> None:
    other_input = EventDataset(plan.inputs.uri, plan.inputs.filesystem, plan.inputs.files[1:])
    others = [
        replace(plan, model_digest="d2"),
        replace(plan, settings={"where": {"a": 1}}),
        replace(plan, inputs=other_input),
    ]
    assert len({plan.digest(), *(other.digest() for other in others)}) == 4
    assert replace(plan, model_uri="another name of the same bits").digest() == plan.digest()


@pytest.mark.parametrize("state", ["finished", "started", "foreign"])
def test_an_output_that_is_not_empty_is_refused(target: Path, plan: TransformPlan, state: str) -> None:
    target.mkdir()
    if state == "finished":
        finish(target, plan)
    elif state == "started":
        claim(target, plan)
        (target / "A.parquet").touch()
    else:
        (target / "thesis.docx").touch()
    before = tree(target)
    with pytest.raises(
        OutputError,
        match=r"edited: the output exists and is not empty\. Choose another folder, or set overwrite = true "
        r"to replace it, or resume = true to continue",
    ):
        claim(target, plan)
    assert tree(target) == before


def test_a_start_that_wrote_nothing_is_claimed_anew(target: Path, plan: TransformPlan) -> None:
    claim(target, plan)
    other = replace(plan, model_digest="d2")
    assert claim(target, other).plan_digest == other.digest()


def test_overwrite_and_resume_exclude_each_other(target: Path, plan: TransformPlan) -> None:
    with pytest.raises(OutputError, match=r"^overwrite and resume exclude each other\. Set one of them\.$"):
        claim(target, plan, overwrite=True, resume=True)
    assert not target.exists()


@pytest.mark.parametrize("flag", ["overwrite", "resume"])
def test_a_foreign_folder_is_not_touched(target: Path, plan: TransformPlan, flag: str) -> None:
    target.mkdir()
    (target / "precious.parquet").write_bytes(b"years of work")
    with pytest.raises(OutputError, match=r"edited: not the output of a transform \(neither _started\.json nor"):
        claim(target, plan, **{flag: True})
    assert tree(target) == {"precious.parquet": b"years of work"}


@pytest.mark.parametrize("flag", ["overwrite", "resume"])
def test_a_file_in_the_outputs_place_is_not_touched(target: Path, plan: TransformPlan, flag: str) -> None:
    target.write_bytes(b"years of work")
    with pytest.raises(OutputError, match=r"edited: not the output of a transform"):
        claim(target, plan, **{flag: True})
    with pytest.raises(OutputError, match=r"edited: the output exists"):
        claim(target, plan)
    assert target.read_bytes() == b"years of work"


@pytest.mark.parametrize("inner", ["", "/edited", "/../elsewhere/../cells/edited", "/.."])
def test_an_output_in_the_input_or_around_it_is_refused(cells: Path, inner: str) -> None:
    plan = TransformPlan("m", "d", {}, list_dataset(str(cells)))
    with pytest.raises(OutputError, match=r"the output lies in the input .*, or the input in it\. Choose a folder"):
        claim_output(f"{cells}{inner}", plan, CONTENTS, overwrite=True, resume=False)
    assert len(list(cells.iterdir())) == 6


def test_an_output_in_the_input_by_way_of_a_link_is_refused(cells: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(cells)
    plan = TransformPlan("m", "d", {}, list_dataset(str(cells)))
    with pytest.raises(OutputError, match=r"the output lies in the input"):
        claim_output(str(tmp_path / "alias/edited"), plan, CONTENTS, overwrite=False, resume=False)


def test_a_folder_whose_name_begins_like_the_inputs_is_apart(cells: Path) -> None:
    plan = TransformPlan("m", "d", {}, list_dataset(str(cells)))
    claim_output(f"{cells}-edited", plan, CONTENTS, overwrite=False, resume=False)


def test_resume_continues_the_same_plan_and_keeps_its_start(target: Path, plan: TransformPlan) -> None:
    output = claim(target, plan)
    (target / STARTED).write_text(json.dumps(json.loads((target / STARTED).read_text()) | {"started": "long ago"}))
    write_file(output, plan, "A-control.parquet")
    resumed = claim(target, plan, resume=True)
    assert resumed.started == "long ago"
    assert [report.file for report in resumed.reports(plan.inputs.files)] == ["A-control.parquet"]


def test_resume_of_a_folder_that_is_not_there_starts(target: Path, plan: TransformPlan) -> None:
    assert claim(target, plan, resume=True).reports(plan.inputs.files) == []


@pytest.mark.parametrize("state", ["finished", "started"])
def test_resume_of_another_plan_is_refused(target: Path, plan: TransformPlan, state: str) -> None:
    finish(target, plan) if state == "finished" else claim(target, plan)
    before = tree(target)
    with pytest.raises(
        OutputError,
        match=r"edited: was started with another model, other settings or other input files, so it cannot be resumed",
    ):
        claim(target, replace(plan, model_digest="d2"), resume=True)
    assert tree(target) == before


def test_a_file_counts_as_finished_only_with_this_plans_stamp_and_all_rows(target: Path, plan: TransformPlan) -> None:
    output = claim(target, plan)
    complete, short, other, plain = plan.inputs.files[:4]
    write_file(output, plan, complete.name)
    table = pq.read_table(short.path).slice(0, 10)
    stamp = {"plan": output.plan_digest, "counts": COUNTS}
    commit_parquet(output.location / short.name, table.schema, [table], lambda: stamp, "zstd")
    write_file(replace(output, plan_digest="another"), plan, other.name)
    pq.write_table(pq.read_table(plain.path), target / plain.name)
    size = (target / complete.name).stat().st_size
    assert output.reports(plan.inputs.files) == [FileReport(complete.name, complete.n_events, size, COUNTS)]


@pytest.mark.parametrize("kept", [0, 100, -5])
def test_a_damaged_output_is_not_finished(target: Path, plan: TransformPlan, kept: int) -> None:
    output = claim(target, plan)
    write_file(output, plan, "A-control.parquet")
    (target / "A-control.parquet").write_bytes((target / "A-control.parquet").read_bytes()[:kept])
    assert output.reports(plan.inputs.files) == []


def test_the_manifest_accounts_for_every_file(target: Path, plan: TransformPlan) -> None:
    finish(target, plan)
    manifest = json.loads((target / MANIFEST).read_text())
    assert manifest["model"] == {"uri": "models:/m/1", "sha256": "d1"}
    assert manifest["config"] == CONFIG
    assert manifest["plan_sha256"] == plan.digest()
    assert manifest["events"] == 2500
    assert manifest["counts"] == {"edited": 18, "reference": 6}
    assert [entry["file"] for entry in manifest["outputs"]] == [file.name for file in plan.inputs.files]
    assert all(entry["bytes"] == (target / entry["file"]).stat().st_size for entry in manifest["outputs"])
    assert manifest["started"] <= manifest["finished"]
    assert not (target / STARTED).exists()


@pytest.mark.parametrize("missing", [True, False], ids=["missing", "other rows"])
def test_no_manifest_where_a_file_is_not_as_its_input(target: Path, plan: TransformPlan, missing: bool) -> None:
    output = claim(target, plan)
    for file in plan.inputs.files:
        write_file(output, plan, file.name)
    reports = output.reports(plan.inputs.files)
    wrong = reports[1:] if missing else [replace(reports[0], events=1), *reports[1:]]
    with pytest.raises(
        OutputError, match=r"the outputs of 'A-control\.parquet' are missing or have other rows .*resume"
    ):
        output.complete(plan, wrong, CONFIG)
    assert not (target / MANIFEST).exists()
    assert (target / STARTED).exists()


def test_the_manifest_comes_last(target: Path, plan: TransformPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(location: Location, content: object) -> None:
        raise OSError("disk full")

    output = claim(target, plan)
    for file in plan.inputs.files:
        write_file(output, plan, file.name)
    (target / ".A-control.parquet.123.part").touch()
    monkeypatch.setattr(Location, "write_json", fail)
    with pytest.raises(OSError, match="disk full"):
        output.complete(plan, output.reports(plan.inputs.files), CONFIG)
    assert not list(target.glob(".*.part"))
    assert (target / STARTED).exists()


def test_leftovers_and_stale_outputs_are_removed_and_other_files_stay(target: Path, plan: TransformPlan) -> None:
    finish(target, plan)
    smaller = replace(plan, inputs=EventDataset(plan.inputs.uri, plan.inputs.filesystem, plan.inputs.files[:2]))
    for leftover in (".A-control.parquet.123.part", "sub/.x.parquet.9.part", "sub/old.parquet"):
        (target / leftover).parent.mkdir(exist_ok=True)
        (target / leftover).touch()
    (target / "README.txt").touch()
    finish(target, smaller, overwrite=True)
    assert set(tree(target)) == {
        "A-control.parquet",
        "A-validation.parquet",
        "README.txt",
        MANIFEST,
        f"{MODEL}/model.json",
        f"{MODEL}/model.safetensors",
    }


def test_an_interrupted_overwrite_is_never_taken_as_finished(target: Path, plan: TransformPlan) -> None:
    finish(target, plan)
    other = replace(plan, model_digest="d2")
    claim(target, other, overwrite=True)
    assert not (target / MANIFEST).exists()
    assert claim(target, other, resume=True).reports(plan.inputs.files) == []
    with pytest.raises(OutputError, match="was started with another model"):
        claim(target, plan, resume=True)


def test_at_no_moment_does_a_manifest_vouch_for_a_folder_without_its_note(
    target: Path, plan: TransformPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    write = Location.write_bytes

    def watched(location: Location, content: bytes) -> None:
        write(location, content)
        seen.append(((target / STARTED).exists(), (target / MANIFEST).exists()))

    finish(target, plan)
    monkeypatch.setattr(Location, "write_bytes", watched)
    claim(target, replace(plan, model_digest="d2"), overwrite=True)
    assert all(started for started, _ in seen)
    assert not (target / MANIFEST).exists()
