"""``neuronedit export`` as a user calls it."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import ray
from neuronedit_jobs import export, verify

from tests.adapters.exporting import columns_of
from tests.flowcore import events_of, read_by_flowcore
from tests.jobs.conftest import Command
from tests.synthetic_cells import MARKERS, with_value


@pytest.mark.ray
def test_the_command_writes_verified_fcs_files_of_all_files(
    cells_once: Path, tmp_path: Path, command: Command, ray_cluster: None
) -> None:
    target = tmp_path / "fcs"
    arguments = ("--set", f"data.path={cells_once}", "--output", str(target), "--leave-out", '["event_id"]')
    cluster = ray.get_runtime_context().gcs_address
    more = f" (and 5 more files: see {target}/_manifest.json)"
    done = command("jobs/export.py", *arguments, RAY_ADDRESS=cluster)
    assert (done.returncode, done.stdout) == (
        0,
        f"{target}: 2,500 events in 6 FCS files\n"
        f"Norm_A-control.fcs: columns that are no numbers and not the same for all events are left out: 'donor'{more}\n"
        f"Norm_A-control.fcs: values that are no float32 were rounded to the nearest: 'Time' (598){more}\n",
    ), done.stderr
    for path in cells_once.iterdir():
        written = target / f"Norm_{path.stem}.fcs"
        text, _ = read_by_flowcore(written.read_bytes())
        names = [text[f"$P{number}N"] for number in range(1, int(text["$PAR"]) + 1)]
        assert set(names) == {*MARKERS, "Time"}
        assert np.array_equal(events_of(written), columns_of(path, names).astype(np.float32))
    assert verify.main([str(target)]) == 0
    assert not [*target.glob("_lease-*"), *target.rglob("*.part")]
    again = command("jobs/export.py", *arguments, "--resume", RAY_ADDRESS=cluster)
    assert (again.returncode, again.stdout) == (0, done.stdout), again.stderr


@pytest.mark.ray
def test_a_value_that_is_not_finite_is_told_in_one_message_and_a_resume_goes_on(
    cells: Path, tmp_path: Path, ray_cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    path, target = cells / "B-control.parquet", tmp_path / "fcs"
    good = path.read_bytes()
    pq.write_table(with_value(pq.read_table(path), "CD3", 130, np.nan), path)
    arguments = ["--set", f"data.path={cells}", "--output", str(target)]
    assert export.main(arguments) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"neuronedit export: {path}: column 'CD3' has NaN in row 130 (1 such events among 500); expected finite "
        "numbers, since programs that read FCS fail at others. "
        'Leave the events out, or the column: leave_out = ["CD3"].'
    )
    path.write_bytes(good)
    assert export.main([*arguments, "--overwrite"]) == 0
    assert json.loads((target / "_manifest.json").read_text())["events"] == 2500


@pytest.mark.parametrize("prefix", ["day1/", "_x", ".x"])
def test_a_prefix_that_hides_files_or_makes_folders_is_told(
    cells_once: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], prefix: str
) -> None:
    arguments = ["--set", f"data.path={cells_once}", "--output", str(tmp_path / "fcs"), "--prefix", prefix]
    assert export.main(arguments) == 2
    assert "prefix" in (told := capsys.readouterr().err)
    assert "no slash, and no dot or underscore at the start: readers skip such files" in told
    assert not (tmp_path / "fcs").exists()
