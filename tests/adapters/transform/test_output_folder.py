import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from neuronedit.adapters.files.dataset import MANIFEST, STARTED, list_dataset
from neuronedit.adapters.files.storage import Location
from neuronedit.adapters.transform.lease import LEASE, Lease
from neuronedit.adapters.transform.output_folder import MODEL, QUALITY, claimed_output
from neuronedit.adapters.transform.plan import TransformPlan
from neuronedit.errors import ModelError, OutputError
from neuronedit.model.edit_model import EditModel
from neuronedit.model.saved.files import contents_digest, model_contents, save_model
from tests.adapters.claiming import NO_QUALITY, claim, finish, leave, standing, start, tree, write_file


def test_a_new_folder_is_claimed_with_a_note_and_the_model(target: Path, plan: TransformPlan) -> None:
    output = start(target, plan)
    assert set(tree(target)) == {STARTED, f"{MODEL}/model.json", f"{MODEL}/model.safetensors"}
    note = json.loads((target / STARTED).read_text())
    assert note == {
        "job": "transform",
        "plan_sha256": plan.digest(),
        "settings": {"where": {}},
        "model": "models:/m/1",
        "started": output.started,
        "claim": output.claim,
    }


def test_an_empty_folder_is_claimed(target: Path, plan: TransformPlan) -> None:
    target.mkdir()
    assert start(target, plan).claim


def test_the_claimed_folder_hands_out_the_model(
    target: Path, plan: TransformPlan, controls_model: EditModel, tmp_path: Path
) -> None:
    save_model(controls_model, tmp_path / "model")
    contents = model_contents(tmp_path / "model")
    plan = replace(plan, model_digest=contents_digest(contents))
    with claimed_output(str(target), plan, contents, overwrite=False, resume=False) as output:
        assert output.model().edits.keys() == controls_model.edits.keys()
        with pytest.raises(
            ModelError, match=r"/_model: expected the model d2, found \w{64}: something else wrote there"
        ):
            replace(output, model_digest="d2").model()


def test_the_plans_digest_changes_with_model_settings_and_input(plan: TransformPlan) -> None:
    other_input = replace(plan.inputs, files=plan.inputs.files[1:])
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
        start(target, plan)
        (target / "A.parquet").touch()
    else:
        (target / "thesis.docx").touch()
    before = tree(target)
    with pytest.raises(
        OutputError,
        match=r"edited: the output exists and is not empty\. Choose another folder, or set overwrite = true "
        r"to replace it, or resume = true to continue",
    ):
        start(target, plan)
    assert tree(target) == before


def test_a_start_that_wrote_nothing_is_claimed_anew(target: Path, plan: TransformPlan) -> None:
    start(target, plan)
    other = replace(plan, model_digest="d2")
    start(target, other)
    assert json.loads((target / STARTED).read_text())["plan_sha256"] == other.digest()


def test_overwrite_and_resume_exclude_each_other(target: Path, plan: TransformPlan) -> None:
    with pytest.raises(OutputError, match=r"^overwrite and resume exclude each other\. Set one of them\.$"):
        start(target, plan, overwrite=True, resume=True)
    assert not target.exists()


@pytest.mark.parametrize("flag", ["overwrite", "resume"])
def test_a_foreign_folder_is_not_touched(target: Path, plan: TransformPlan, flag: str) -> None:
    target.mkdir()
    (target / "precious.parquet").write_bytes(b"years of work")
    message = (
        r"edited: expected what neuronedit wrote there and nothing else; found also 'precious\.parquet'\. Nothing was "
        r"touched: move it elsewhere, or choose another folder\."
    )
    with pytest.raises(OutputError, match=message):
        start(target, plan, **{flag: True})
    assert tree(target) == {"precious.parquet": b"years of work"}


@pytest.mark.parametrize("flags", [{}, {"overwrite": True}, {"resume": True}])
def test_a_file_in_the_outputs_place_is_not_touched(target: Path, plan: TransformPlan, flags: dict[str, bool]) -> None:
    target.write_bytes(b"years of work")
    with pytest.raises(OutputError, match=r"edited: the output exists and is not a folder\. Choose another place\."):
        start(target, plan, **flags)
    assert target.read_bytes() == b"years of work"


@pytest.mark.parametrize("inner", ["", "/edited", "/../elsewhere/../cells/edited", "/.."])
def test_an_output_in_the_input_or_around_it_is_refused(cells: Path, inner: str) -> None:
    plan = TransformPlan("m", "d", {}, list_dataset(str(cells)))
    with pytest.raises(OutputError, match=r"the output lies in the input .*, or the input in it\. Choose a folder"):
        start(Path(f"{cells}{inner}"), plan, overwrite=True)
    assert len(list(cells.iterdir())) == 6


def test_an_output_in_the_input_by_way_of_a_link_is_refused(cells: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(cells)
    plan = TransformPlan("m", "d", {}, list_dataset(str(cells)))
    with pytest.raises(OutputError, match=r"the output lies in the input"):
        start(tmp_path / "alias/edited", plan)


def test_a_folder_whose_name_begins_like_the_inputs_is_apart(cells: Path) -> None:
    plan = TransformPlan("m", "d", {}, list_dataset(str(cells)))
    start(Path(f"{cells}-edited"), plan)


def test_resume_continues_the_same_plan_and_keeps_its_start(target: Path, plan: TransformPlan) -> None:
    with claim(target, plan) as output:
        write_file(output, plan, "A-control.parquet")
    (target / STARTED).write_text(json.dumps(json.loads((target / STARTED).read_text()) | {"started": "long ago"}))
    with claim(target, plan, resume=True) as resumed:
        assert resumed.started == "long ago"
        assert standing(resumed, plan) == ["A-control.parquet"]


def test_overwrite_does_all_work_again(target: Path, plan: TransformPlan) -> None:
    finish(target, plan)
    assert standing(start(target, plan, overwrite=True), plan) == []


def test_resume_of_a_folder_that_is_not_there_starts(target: Path, plan: TransformPlan) -> None:
    assert standing(start(target, plan, resume=True), plan) == []


@pytest.mark.parametrize("state", ["finished", "started"])
def test_resume_of_another_plan_is_refused(target: Path, plan: TransformPlan, state: str) -> None:
    finish(target, plan) if state == "finished" else start(target, plan)
    before = tree(target)
    with pytest.raises(
        OutputError,
        match=r"edited: was started with another model, other settings or other input files, so it cannot be resumed",
    ):
        start(target, replace(plan, model_digest="d2"), resume=True)
    assert tree(target) == before


def test_the_manifest_comes_last(target: Path, plan: TransformPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Lease.write

    def fail(lease: Lease, target: Location, content: bytes) -> None:
        if target.path.endswith(MANIFEST):
            raise OSError("disk full")
        write(lease, target, content)

    with claim(target, plan) as output:
        receipts = [write_file(output, plan, file.name) for file in plan.inputs.files]
        (target / f".A-control.parquet.{'0' * 32}.part").touch()
        monkeypatch.setattr(Lease, "write", fail)
        with pytest.raises(OSError, match="disk full"):
            output.complete({}, receipts, NO_QUALITY)
    assert not list(target.glob(".*.part"))
    assert (target / STARTED).exists()


def test_leftovers_and_stale_outputs_are_removed(target: Path, plan: TransformPlan) -> None:
    finish(target, plan)
    smaller = replace(plan, inputs=replace(plan.inputs, files=plan.inputs.files[:2]))
    for leftover in (f".A-control.parquet.{'0' * 32}.part", f"sub/.x.parquet.{'a' * 32}.part"):
        (target / leftover).parent.mkdir(exist_ok=True)
        (target / leftover).touch()
    finish(target, smaller, overwrite=True)
    outputs = {"A-control.parquet", "A-validation.parquet"}
    assert set(tree(target)) == {
        *outputs,
        *(f"_receipts/{name}.json" for name in outputs),
        MANIFEST,
        QUALITY,
        f"{MODEL}/model.json",
        f"{MODEL}/model.safetensors",
    }


def test_an_interrupted_overwrite_is_never_taken_as_finished(target: Path, plan: TransformPlan) -> None:
    finish(target, plan)
    other = replace(plan, model_digest="d2")
    start(target, other, overwrite=True)
    assert not (target / MANIFEST).exists()
    assert standing(start(target, other, resume=True), plan) == []
    with pytest.raises(OutputError, match="was started with another model"):
        start(target, plan, resume=True)


def test_at_no_moment_does_a_manifest_vouch_for_a_folder_without_its_note(
    target: Path, plan: TransformPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    write = Location.write_bytes

    def watched(location: Location, content: bytes) -> None:
        write(location, content)
        if not location.path.rpartition("/")[2].startswith(LEASE):
            seen.append(((target / STARTED).exists(), (target / MANIFEST).exists()))

    finish(target, plan)
    monkeypatch.setattr(Location, "write_bytes", watched)
    start(target, replace(plan, model_digest="d2"), overwrite=True)
    assert all(started for started, _ in seen)
    assert not (target / MANIFEST).exists()


FOREIGN = (
    "mine.parquet",
    "sub/mine.parquet",
    "notes.txt",
    "_model/notes.txt",
    ".hidden",
    "_receipts/plan.docx",
    "x.part",
)


@pytest.mark.parametrize("flag", ["overwrite", "resume"])
@pytest.mark.parametrize("state", ["finished", "started", "begun"])
@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_of_somebody_else_in_an_output_is_named_and_nothing_is_touched(
    target: Path, plan: TransformPlan, state: str, name: str, flag: str
) -> None:
    leave(target, plan, state)
    (target / name).parent.mkdir(exist_ok=True, parents=True)
    (target / name).write_bytes(b"years of work")
    before = tree(target)
    with pytest.raises(OutputError, match=rf"edited: expected what neuronedit wrote .* found also '{re.escape(name)}'"):
        start(target, plan, **{flag: True})
    assert tree(target) == before


@pytest.mark.parametrize("flag", ["overwrite", "resume"])
@pytest.mark.parametrize("name", ["raw", "A-control.parquet", "_receipts", "_model", "_started.json"])
@pytest.mark.parametrize("leads_to", ["folder", "file", "nothing"])
def test_a_link_in_an_output_is_named_and_what_it_leads_to_stays(
    target: Path, plan: TransformPlan, cells: Path, name: str, leads_to: str, flag: str
) -> None:
    finish(target, plan)
    if (target / name).is_dir():
        shutil.rmtree(target / name)
    (target / name).unlink(missing_ok=True)
    (target / name).symlink_to(
        {"folder": cells, "file": cells / "B-control.parquet", "nothing": cells / "nowhere"}[leads_to]
    )
    before, output = tree(cells), {entry.name for entry in target.iterdir()}
    with pytest.raises(OutputError, match=rf"found also .*'{re.escape(name)}'.*\. Nothing was touched"):
        start(target, plan, **{flag: True})
    assert tree(cells) == before
    assert {entry.name for entry in target.iterdir()} == output


def test_what_somebody_puts_into_an_output_meanwhile_stays_and_there_is_no_manifest(
    target: Path, plan: TransformPlan, cells: Path
) -> None:
    with claim(target, plan) as output:
        receipts = [write_file(output, plan, file.name) for file in plan.inputs.files]
        (target / "raw").symlink_to(cells)
        (target / "mine.parquet").write_bytes(b"years of work")
        with pytest.raises(OutputError, match=r"found also 'mine\.parquet', 'raw'\. Nothing was touched"):
            output.complete({}, receipts, NO_QUALITY)
    assert (target / "mine.parquet").exists()
    assert len(list(cells.iterdir())) == 6
    assert not (target / MANIFEST).exists()


def test_what_looks_like_a_receipt_and_is_none_stays(target: Path, plan: TransformPlan) -> None:
    with claim(target, plan) as output:
        receipts = [write_file(output, plan, file.name) for file in plan.inputs.files]
        (target / "_receipts/thesis.json").write_text('{"chapter": 1}')
        with pytest.raises(OutputError, match=r"found also '_receipts/thesis\.json'"):
            output.complete({}, receipts, NO_QUALITY)
    assert (target / "_receipts/thesis.json").read_text() == '{"chapter": 1}'


def test_an_input_that_a_link_leads_to_in_the_output_is_refused(target: Path, plan: TransformPlan, cells: Path) -> None:
    finish(target, plan)
    (cells / "more").symlink_to(target)
    inputs = list_dataset(str(cells))
    with pytest.raises(OutputError, match=r"edited: the output lies in the input .*, or the input in it"):
        start(target, replace(plan, inputs=inputs), overwrite=True)


DAMAGED = ("", "{", "[]", "{}", "null", '"text"', '{"plan_sha256": 1}', "\xff", "[" * 100_000)


@pytest.mark.parametrize("text", DAMAGED, ids=range(len(DAMAGED)))
@pytest.mark.parametrize("state", ["finished", "started", "begun"])
def test_a_damaged_note_is_told_and_overwrite_is_the_way_on(
    target: Path, plan: TransformPlan, state: str, text: str
) -> None:
    leave(target, plan, state)
    note = target / (MANIFEST if state == "finished" else STARTED)
    note.write_text(text, encoding="latin-1")
    with pytest.raises(
        OutputError,
        match=rf"edited/{note.name}: damaged \(\w+\), so what was begun is not known\. Set overwrite = true to write",
    ):
        start(target, plan, resume=True)
    finish(target, plan, overwrite=True)
    assert (target / MANIFEST).exists()


def test_an_output_without_a_note_is_told_and_overwrite_is_the_way_on(target: Path, plan: TransformPlan) -> None:
    leave(target, plan, "begun")
    (target / STARTED).unlink()
    with pytest.raises(OutputError, match=r"neither _started\.json nor _manifest\.json is in it, so what was begun is"):
        start(target, plan, resume=True)
    finish(target, plan, overwrite=True)


@pytest.mark.parametrize("flags", [{}, {"resume": True}, {"overwrite": True}])
@pytest.mark.parametrize("left", ["_started.json", "_lease-x.json", "_model/model.json", "_quality.csv"])
def test_a_driver_killed_while_it_stages_its_first_files_can_be_resumed(
    target: Path, plan: TransformPlan, left: str, flags: dict[str, bool]
) -> None:
    place = target / Path(left).with_name(f".{Path(left).name}.{'0' * 32}.part")
    place.parent.mkdir(parents=True)
    place.write_bytes(b'{"half')
    start(target, plan, **flags)
    assert (target / STARTED).exists()


@pytest.mark.parametrize("flag", ["overwrite", "resume"])
@pytest.mark.parametrize("state", ["finished", "started", "begun"])
@pytest.mark.parametrize(("job", "other"), [("transform", "export"), ("export", "transform")])
def test_a_job_replaces_and_continues_only_the_same_jobs_output(
    target: Path, plan: TransformPlan, state: str, flag: str, job: str, other: str
) -> None:
    leave(target, replace(plan, job=other), state)
    before = tree(target)
    with pytest.raises(
        OutputError,
        match=rf"edited: expected an output of {job}; found one of {other}, which only {other} may replace or "
        r"continue\. Nothing was touched: choose another folder, or remove this one yourself\.",
    ):
        start(target, replace(plan, job=job), **{flag: True})
    assert tree(target) == before


def test_a_manifest_that_names_no_job_is_a_transforms(target: Path, plan: TransformPlan) -> None:
    finish(target, plan)
    manifest = json.loads((target / MANIFEST).read_text())
    del manifest["job"]
    (target / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(OutputError, match="expected an output of export; found one of transform"):
        start(target, replace(plan, job="export"), overwrite=True)
    start(target, plan, overwrite=True)
