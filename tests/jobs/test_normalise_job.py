"""``neuronedit normalise`` as a user calls it: FCS files in, corrected FCS files out, and every way to stop between."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import mlflow
import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
from neuronedit_jobs import export, ingest, normalise, review, train, transform, verify

from neuronedit.adapters.fcs.file import read_fcs
from neuronedit.errors import StorageError
from tests.fcs_files import write_float_fcs
from tests.fixtures import copied_store

pytestmark = [pytest.mark.ray, pytest.mark.faults]  # it is stopped in each step; two reviews take minutes

CHANNELS, MARKERS = ["Time", "Nd142Di", "Nd143Di", "Nd144Di"], ["", "CD19", "CD3", "CD4"]
SAMPLES = {"a-control": 1.0, "a-patient": 1.0, "b-control": 2.0, "b-patient": 2.0}
"""The gain with which each sample was measured, by its name: its batch and role."""

STEPS = {
    ingest: "complete_ingest",
    train: "register_model",
    review: "write_record",
    transform: "check_unchanged",
    export: "check_unchanged",
}
"""The step's own jobs, and a function that each calls near its end."""


def cells(gain: float, seed: int) -> npt.NDArray[np.float32]:
    """Two kinds of cells, measured with a gain: (400, 4), time first."""
    random = np.random.default_rng(seed)
    kind = random.random((400, 1)) < 0.4
    markers = np.where(kind, random.gamma(30, (2, 0.2, 0.3), (400, 3)), random.gamma(30, (0.3, 3, 2), (400, 3)))
    return np.column_stack([np.arange(400), gain * markers]).astype(np.float32)


@pytest.fixture(scope="module")
def fcs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FCS files of two batches, their sheet and panel."""
    folder = tmp_path_factory.mktemp("fcs")
    for seed, (name, gain) in enumerate(SAMPLES.items()):
        write_float_fcs(folder / f"{name}.fcs", cells(gain, seed), CHANNELS, MARKERS)
    rows = [f"{name}.fcs,{name},{name[0]},{name[2:]}" for name in SAMPLES]
    (folder / "samples.csv").write_text("\n".join(["file,sample_id,batch_id,role", *rows]) + "\n")
    lines = ["channel,marker,cofactor", *(f"{c},{m},5" for c, m in zip(CHANNELS[1:], MARKERS[1:], strict=True))]
    (folder / "panel.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def done(
    fcs: Path, ray_cluster: None, migrated_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[str]]:
    """An output that was made by the same command again and again, stopped once in each step; and the command."""
    place = tmp_path_factory.mktemp("done")
    command = arguments(fcs, place, migrated_store)
    for step, last in STEPS.items():
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(step, last, _lost)
            assert normalise.main(command) == 2
        assert not (place / "out" / "summary.txt").exists()
    assert normalise.main(command) == 0
    return place / "out", command


@pytest.fixture(scope="module")
def accepted(
    fcs: Path, ray_cluster: None, migrated_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str, str]:
    """An output without controls whose review failed, and what was said before and after somebody answered for it."""
    place, told = tmp_path_factory.mktemp("accepted"), []
    command = arguments(fcs, place, migrated_store, "--controls", "none", "--on-error", "quarantine")
    command[command.index("a")] = "pooled"
    (place / "torn.fcs").write_bytes((fcs / "a-patient.fcs").read_bytes()[:2000])
    sheet = (fcs / "samples.csv").read_text() + f"{place}/torn.fcs,torn,a,patient\n"
    (fcs / "with-torn.csv").write_text(sheet)
    command[0] = f"{fcs}/with-torn.csv"
    for more, status in (([], 2), (["--accept-failed-gates", "a trial"], 3), ([], 3)):
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            assert normalise.main([*command, "--set", "gates.reconstruction=1", *more]) == status
        told.append(out.getvalue() + err.getvalue())
        assert (place / "out/fcs").exists() == (place / "out/steps/edited").exists() == (status == 3)
    return place / "out", told[0], told[1]


def _lost(*_: object) -> None:
    raise StorageError("the disk is full. Make room.")


def arguments(fcs: Path, place: Path, migrated_store: Path, *more: str) -> list[str]:
    """The command, with a registry of its own in the place."""
    store = copied_store(migrated_store, place)
    settings = ["training.epochs=30", "training.learning_rate=0.01", "autoencoder.hidden=[16]", "autoencoder.code=3"]
    settings += ["edit.preset=quantile-map", f"tracking.uri={store.uri}", f"tracking.artifacts={store.artifacts}"]
    settings.append("gates.reconstruction=0.1")
    given = ["--panel", f"{fcs}/panel.csv", "--reference", "a", "--output", f"{place}/out"]
    return [f"{fcs}/samples.csv", *given, *more, *(part for setting in settings for part in ("--set", setting))]


def values(path: Path) -> dict[str, npt.NDArray[np.float64]]:
    """The events of an FCS file, by marker."""
    fcs = read_fcs(path)
    return dict(zip(fcs.channels, np.concatenate([*fcs.blocks()]).T, strict=True))


def test_every_sample_comes_back_corrected_as_a_verified_fcs_file(done: tuple[Path, list[str]], fcs: Path) -> None:
    output, _ = done
    assert sorted(path.name for path in (output / "fcs").glob("*.fcs")) == [f"Norm_{name}.fcs" for name in SAMPLES]
    assert verify.main([str(output / "fcs")]) == 0
    for name in ("a-control", "a-patient"):  # the reference is not touched
        before, after = values(fcs / f"{name}.fcs"), values(output / "fcs" / f"Norm_{name}.fcs")
        assert all(np.array_equal(before[channel], after[channel]) for channel in CHANNELS)
    medians = {name: np.median(values(output / "fcs" / f"Norm_{name}-patient.fcs")["Nd142Di"]) for name in ("a", "b")}
    unedited = np.median(values(fcs / "b-patient.fcs")["Nd142Di"])
    assert abs(medians["b"] - medians["a"]) < 0.3 * abs(unedited - medians["a"])


def test_the_summary_says_what_was_done_and_what_to_open(done: tuple[Path, list[str]]) -> None:
    output, _ = done
    lines = (output / "summary.txt").read_text().splitlines()
    assert len(lines) <= 10
    assert lines[0] == "1,600 events in 4 files; 1 batch was led to the batch 'a'."
    assert lines[1].startswith("The review says: ")
    assert "not measured: " in lines[2]
    assert lines[3] == "No marker was left alone."
    assert lines[4].startswith("No sample is unlike its batch's control (at most ")
    assert lines[5] == f"Open next: {output}/review/review.html, then the FCS files in {output}/fcs."
    assert lines[6] == "Made by models:/batches/1."


def test_the_same_command_again_makes_nothing_anew(done: tuple[Path, list[str]]) -> None:
    output, command = done
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*.fcs")}
    before |= {path: path.stat().st_mtime_ns for path in output.rglob("*.parquet")}
    assert normalise.main(command) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_run_that_was_stopped_in_every_step_trains_once(done: tuple[Path, list[str]]) -> None:
    output, command = done
    store = next(part.partition("=")[2] for part in command if part.startswith("tracking.uri="))
    client = mlflow.MlflowClient(store, registry_uri=store)
    assert [version.version for version in client.search_model_versions("name='batches'")] == [1]
    assert json.loads((output / "_normalise.json").read_text())["steps"]["train"] == "models:/batches/1"


def test_failed_gates_stop_it_before_anything_is_corrected_until_somebody_answers(
    accepted: tuple[Path, str, str],
) -> None:
    output, refused, allowed = accepted
    last = refused.splitlines()[-1]
    assert last.startswith(
        f"neuronedit normalise: {output}: nothing was corrected, as the review found against it: reconstruction fail "
    )
    assert last.endswith(
        f'Read {output}/review/review.html; then run the same command again with --accept-failed-gates "reason" if '
        "you answer for it, or begin anew with other samples or settings (--overwrite)."
    )
    assert "failed: 'reconstruction'; " in allowed
    assert "Accepted by " in allowed
    manifest = json.loads((output / "steps/edited/_manifest.json").read_text())
    assert manifest["model"]["gates"]["override"]["reason"] == "a trial"


def test_without_controls_that_is_said_wherever_it_matters(accepted: tuple[Path, str, str]) -> None:
    output, caution = accepted[0], "There are no controls: all events of a batch stood for its control, so "
    manifest = json.loads((output / "steps/edited/_manifest.json").read_text())
    assert manifest["model"]["caution"].startswith(caution)
    page = (output / "review/review.html").read_text()
    assert 0 < page.index(caution) < page.index("<table")
    assert caution in (output / "summary.txt").read_text()
    assert pq.read_table(output / "steps/edited").num_rows == 1600


def test_a_file_that_cannot_be_used_is_named_in_the_summary(accepted: tuple[Path, str, str]) -> None:
    assert "Files that could not be used, and are not among them: '" in (accepted[0] / "summary.txt").read_text()
    assert "torn.fcs'." in (accepted[0] / "summary.txt").read_text()


def test_other_files_under_the_same_name_are_refused(
    done: tuple[Path, list[str]], fcs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, command = done
    sheet = fcs / "samples.csv"
    before = sheet.read_bytes()
    sheet.write_bytes(before.replace(b"b-patient.fcs,b-patient,b", b"b-patient.fcs,b-patient,a"))
    assert normalise.main(command) == 2
    sheet.write_bytes(before)
    assert f"{output}: was begun with other settings or files ('samples file')." in capsys.readouterr().err


def test_a_panel_that_is_not_there_is_told_before_anything_is_made(
    fcs: Path, migrated_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = arguments(fcs, tmp_path, migrated_store)
    command[command.index(f"{fcs}/panel.csv")] = f"{tmp_path}/panel.csv"
    assert normalise.main(command) == 2
    assert f"neuronedit normalise: {tmp_path}/panel.csv" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ("--spillover", "m.csv", "--compensate", "false"),
            "spillover is a matrix to compensate with, and compensate is",
        ),
        (("--prefix", "a/b"), "no slash, and no dot or underscore at the start: readers skip such files"),
    ],
)
def test_what_a_step_would_refuse_is_refused_at_once(
    more: tuple[str, ...],
    message: str,
    fcs: Path,
    migrated_store: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert normalise.main(arguments(fcs, tmp_path, migrated_store, *more)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
