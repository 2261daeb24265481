"""The input is pinned by its content: what was edited is what the receipts name, or there is no output."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from neuronedit.adapters.files.blocks import FilePart, file_parts
from neuronedit.adapters.files.dataset import list_dataset
from neuronedit.adapters.transform.committed import Layout, Receipt
from neuronedit.adapters.transform.event_editor import EventEditor
from neuronedit.adapters.transform.file_transformer import FileRules, FileTransformer
from neuronedit.adapters.transform.input_pin import pin
from neuronedit.errors import StorageError
from neuronedit.model.edit_model import EditModel
from tests.adapters.transforming import PLAIN, check, here, outputs, run
from tests.s3_server import Bucket
from tests.synthetic_cells import MARKERS

CHANGED = "B-control.parquet"


def store(table: pa.Table, place: Path) -> None:
    """Write a file whose size does not depend on its values."""
    pq.write_table(table, place, compression="none", use_dictionary=False)


def write_again(place: Path) -> None:
    """Double a file's intensities in place, so that its name, rows, size and time of modification stay."""
    before, table = place.stat(), pq.read_table(place)
    for marker in MARKERS:
        doubled = pc.multiply(table.column(marker), 2.0).cast(table.schema.field(marker).type)
        table = table.set_column(table.column_names.index(marker), table.schema.field(marker), doubled)
    store(table, place)
    assert place.stat().st_size == before.st_size
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture
def plain_cells(cells: Path) -> Path:
    for place in cells.iterdir():
        store(pq.read_table(place), place)
    return cells


def test_the_pin_of_a_whole_file_is_its_sha_256(cells_once: Path) -> None:
    dataset = list_dataset(str(cells_once))
    for file in dataset.files:
        expected = hashlib.sha256(Path(file.path).read_bytes()).hexdigest()
        assert pin(dataset.filesystem, FilePart.whole(file)) == f"sha256:{expected}"


def test_the_parts_of_a_file_cover_all_of_its_bytes(cells: Path) -> None:
    place = cells / CHANGED
    pq.write_table(pq.read_table(place), place, row_group_size=100)
    dataset = list_dataset(str(place))
    parts = file_parts(dataset.files, dataset.filesystem, max_bytes=1)
    content = place.read_bytes()
    pieces = [content[part.first_byte : part.stop_byte] for part in parts]
    assert len(parts) == 5
    assert b"".join(pieces) == content
    pins = [pin(dataset.filesystem, part) for part in parts]
    assert pins == [f"sha256:{hashlib.sha256(piece).hexdigest()}" for piece in pieces]


def test_a_file_on_s3_is_pinned_by_its_etag(cells_once: Path, s3: Bucket) -> None:
    s3.upload(cells_once, "cells")
    dataset = list_dataset(s3.uri("cells"))
    part = FilePart.whole(dataset.files[0])
    before = pin(dataset.filesystem, part)
    assert before.startswith('etag:"')
    s3.put(f"cells/{dataset.files[0].name}", b"something else")
    with pytest.raises(StorageError, match="was written again, or touched, since it was listed"):
        pin(dataset.filesystem, part)
    (unstamped,) = (replace(part, file=replace(part.file, stamp="")),)
    assert pin(dataset.filesystem, unstamped) != before


def test_other_input_of_the_same_names_rows_sizes_and_times_is_not_resumed(
    plain_cells: Path, tmp_path: Path, controls_model: EditModel
) -> None:
    target = tmp_path / "edited"
    run(plain_cells, target, controls_model, transform=here)
    for name in ("A-control.parquet", "B-validation.parquet"):
        (target / name).unlink()
    before = outputs(target)
    write_again(plain_cells / CHANGED)
    with pytest.raises(
        StorageError,
        match=r"B-control\.parquet: not the input of which B-control\.parquet was made: expected sha256:\w{64}, found "
        r"sha256:\w{64}\. Restore the file, or write all files anew with overwrite = true\.",
    ):
        run(plain_cells, target, controls_model, resume=True, transform=here)
    assert before.items() <= outputs(target).items()
    assert not (target / "_manifest.json").exists()


def test_input_that_was_only_copied_is_resumed(plain_cells: Path, tmp_path: Path, controls_model: EditModel) -> None:
    target = tmp_path / "edited"
    run(plain_cells, target, controls_model, transform=here)
    (target / "A-control.parquet").unlink()
    for place in plain_cells.iterdir():
        content = place.read_bytes()
        place.unlink()
        place.write_bytes(content)
    manifest = run(plain_cells, target, controls_model, resume=True, transform=here)
    assert [entry["input_content"][:7] for entry in manifest["outputs"]] == ["sha256:"] * 6
    check(target, target)


def before_its_part(parts: list[FilePart], change: Callable[[], None], *arguments: Any) -> list[Receipt]:
    change()
    return here(parts, *arguments)


def after_its_part(parts: list[FilePart], change: Callable[[], None], *arguments: Any) -> list[Receipt]:
    receipts = here(parts, *arguments)
    change()
    return receipts


def while_it_is_read(parts: list[FilePart], change: Callable[[], None], *arguments: Any) -> list[Receipt]:
    class Interrupted(EventEditor):
        def edit(self, table: pa.Table, file: Any, *others: Any) -> Any:
            edited = super().edit(table, file, *others)
            if file.name == CHANGED:
                change()
            return edited

    filesystem, output, rules, files, _ = arguments
    worker = FileTransformer(filesystem, output, rules, files)
    worker.editor = Interrupted(output.model(), rules)
    return [worker.transform(part) for part in parts]


@pytest.mark.parametrize("quarantine", [False, True])
@pytest.mark.parametrize("moment", [before_its_part, while_it_is_read, after_its_part])
def test_a_file_that_is_written_again_while_the_job_runs_is_an_error(
    plain_cells: Path, tmp_path: Path, controls_model: EditModel, moment: Any, quarantine: bool
) -> None:
    def transform(parts: list[FilePart], *arguments: Any) -> list[Receipt]:
        return moment(parts, lambda: write_again(plain_cells / CHANGED), *arguments)

    target = tmp_path / "edited"
    with pytest.raises(StorageError, match=r"written again,? .*since it was listed"):
        run(plain_cells, target, controls_model, PLAIN, FileRules(Layout("zstd"), quarantine), transform=transform)
    assert not (target / "_manifest.json").exists()
    assert (target / CHANGED).exists() == (moment is after_its_part)
