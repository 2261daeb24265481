import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from neuronedit_jobs import verify

from neuronedit.adapters.files.dataset import list_dataset
from neuronedit.adapters.transform.manifest import Verification, verify_output
from neuronedit.adapters.transform.plan import TransformPlan
from neuronedit.errors import OutputError
from tests.adapters.claiming import finish, start


@pytest.fixture
def output(cells_once: Path, tmp_path: Path) -> Path:
    finish(tmp_path / "edited", TransformPlan("models:/m/1", "d1", {}, list_dataset(str(cells_once))))
    return tmp_path / "edited"


def _cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _another_count(path: Path) -> None:
    manifest = json.loads((path.parent / "_manifest.json").read_text())
    manifest["outputs"][0]["events"] += 1
    (path.parent / "_manifest.json").write_text(json.dumps(manifest))


def test_an_untouched_output_is_as_the_manifest_says(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify_output(str(output)) == Verification(6, 2500, ())
    assert verify.main([str(output)]) == 0
    assert capsys.readouterr().out == f"{output}: 2,500 events in 6 files, all as the manifest says\n"


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (Path.unlink, "A-control.parquet: missing"),
        (
            lambda path: path.write_bytes(path.read_bytes()[:-1]),
            "A-control.parquet: {short:,} bytes, expected {size:,}",
        ),
        (_flip_byte, "A-control.parquet: the content changed (SHA-256 differs)"),
        (_another_count, "A-control.parquet: 600 events, expected 601"),
        (
            lambda path: (path.parent / "more.parquet").write_bytes(path.read_bytes()),
            "more.parquet: not of this output, and readers would take it for a part",
        ),
    ],
    ids=["missing", "truncated", "flipped bit", "rows", "surplus"],
)
def test_every_difference_is_told(
    output: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], None], problem: str
) -> None:
    path = output / "A-control.parquet"
    size = path.stat().st_size
    spoil(path)
    expected = problem.format(size=size, short=size - 1)
    assert verify_output(str(output)).problems == (expected,)
    assert verify.main([str(output)]) == 1
    assert capsys.readouterr().out == f"{expected}\n{output}: 1 problems among 6 files\n"


def test_files_that_readers_skip_are_no_concern(output: Path) -> None:
    (output / "README.txt").touch()
    (output / "_notes.parquet").touch()
    assert verify_output(str(output)).problems == ()


def test_a_folder_without_a_manifest_is_told(
    cells_once: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify.main([str(cells_once)]) == 2
    expected = f"{cells_once}: no _manifest.json. Expected the output folder of an ingest, transform or export."
    assert capsys.readouterr().err == f"neuronedit verify: {expected}\n"
    start(tmp_path / "edited", TransformPlan("models:/m/1", "d1", {}, list_dataset(str(cells_once))))
    with pytest.raises(
        OutputError, match=r"A transform or export was started here and did not finish: run it again with resume"
    ):
        verify_output(str(tmp_path / "edited"))


def test_a_row_count_in_the_manifest_is_the_files(output: Path) -> None:
    manifest = json.loads((output / "_manifest.json").read_text())
    assert all(pq.read_metadata(output / entry["file"]).num_rows == entry["events"] for entry in manifest["outputs"])


DAMAGED = ("", "{", "[]", "{}", '{"outputs": 3, "events": 1}', '{"outputs": [{}], "events": 1}', "[" * 99_999)


@pytest.mark.parametrize("text", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_manifest_is_told(output: Path, text: str) -> None:
    (output / "_manifest.json").write_text(text)
    message = (
        r"edited: _manifest\.json is damaged \(.+\), so that nothing vouches for the output\. Restore it, or run t"
    )
    with pytest.raises(OutputError, match=message):
        verify_output(str(output))


def test_a_link_is_surplus_for_readers_follow_it(output: Path, cells_once: Path) -> None:
    (output / "raw").symlink_to(cells_once)
    (output / "loop").symlink_to(output)
    assert verify_output(str(output)).problems == (
        "loop: not of this output, and readers would take it for a part",
        "raw: not of this output, and readers would take it for a part",
    )
