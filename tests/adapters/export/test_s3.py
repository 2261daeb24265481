"""An export from S3 to S3 has the events of one from folder to folder, also where requests fail."""

import json
from pathlib import Path

import pytest

from neuronedit.adapters.transform.manifest import verify_output
from tests.adapters.exporting import export
from tests.flowcore import read_by_flowcore
from tests.s3_server import SECRET_KEY, Bucket, Fault

pytestmark = pytest.mark.s3


@pytest.mark.parametrize("faults", [[], [Fault("InternalError", every=5)]], ids=["clean", "every fifth request fails"])
def test_fcs_files_on_s3_are_those_of_a_folder(
    s3: Bucket, cells_once: Path, tmp_path: Path, faults: list[Fault]
) -> None:
    s3.upload(cells_once, "cells/batch_id=X")
    s3.server.inject(*faults)
    export(s3.uri("cells"), s3.uri("fcs"))
    assert verify_output(s3.uri("fcs")).problems == ()
    export(s3.uri("cells"), s3.uri("fcs"), resume=True)
    s3.server.inject()
    export(cells_once, tmp_path / "fcs")
    names = sorted(f"Norm_{path.stem}.fcs" for path in cells_once.iterdir())
    assert [key for key in s3.keys("fcs") if key.endswith(".fcs")] == [f"fcs/batch_id=X/{name}" for name in names]
    for name in names:
        text, events = read_by_flowcore(s3.get(f"fcs/batch_id=X/{name}"))
        _, expected = read_by_flowcore((tmp_path / "fcs" / name).read_bytes())
        assert (events == expected).all()
        assert "NEURONEDIT_INPUT_SHA256" not in text
        assert text["NEURONEDIT_INPUT_ETAG"].startswith("etag:")
    assert SECRET_KEY not in json.dumps(json.loads(s3.get("fcs/_manifest.json")))
