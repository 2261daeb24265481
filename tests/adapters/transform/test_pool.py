"""Ray's pool of workers writes what one worker in this process writes."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from neuronedit.errors import DataError
from neuronedit.model.edit_model import EditModel
from tests.adapters.transforming import check, expected_markers, here, leftovers, outputs, run, spoil

BAD = "C-validation.parquet"

pytestmark = pytest.mark.ray


@pytest.fixture(autouse=True, scope="module")
def _ray(ray_cluster: None) -> None:
    pass


def test_ray_writes_what_the_model_computes_in_this_process(
    cells_once: Path, tmp_path: Path, undisturbed: Path, controls_model: EditModel
) -> None:
    target = tmp_path / "edited"
    run(cells_once, target, controls_model)
    for path in cells_once.iterdir():
        written = pq.read_table(target / path.name)
        for marker, values in expected_markers(path, controls_model, path.name[0]).items():
            assert np.array_equal(written.column(marker).to_numpy(), values), (path.name, marker)
    assert outputs(target) == outputs(undisturbed)
    found, expected = (json.loads((folder / "_manifest.json").read_text()) for folder in (target, undisturbed))
    for told in ("counts", "events", "left_out", "outputs", "quality"):
        assert found[told] == expected[told], told
    assert leftovers(target) == []


def test_an_error_comes_through_ray_as_it_was_raised_and_what_is_finished_stands(
    cells: Path, tmp_path: Path, undisturbed: Path, controls_model: EditModel
) -> None:
    target, good = tmp_path / "edited", spoil(cells / BAD)
    with pytest.raises(DataError, match=rf"^{cells}/{BAD}: row group 0 is damaged"):
        run(cells, target, controls_model)
    assert outputs(target).items() <= outputs(undisturbed).items()
    assert BAD not in outputs(target)
    assert not (target / "_manifest.json").exists()
    (cells / BAD).write_bytes(good)
    run(cells, target, controls_model, resume=True, transform=here)
    check(target, undisturbed)
