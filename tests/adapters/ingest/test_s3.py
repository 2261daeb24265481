"""An ingest to S3 writes what one to a folder does, also where requests fail."""

from pathlib import Path

import pytest

from neuronedit.adapters.transform.manifest import verify_output
from tests.adapters.ingest.conftest import config
from tests.adapters.ingesting import ingest
from tests.s3_server import SECRET_KEY, Bucket, Fault

pytestmark = pytest.mark.s3


@pytest.mark.parametrize("faults", [[], [Fault("InternalError", every=5)]], ids=["clean", "every fifth request fails"])
def test_an_output_on_s3_has_the_bytes_of_one_in_a_folder(
    s3: Bucket, folder: Path, whole: dict[str, bytes], faults: list[Fault]
) -> None:
    s3.server.inject(*faults)
    ingest(config(folder, s3.uri("cells")))
    ingest(config(folder, s3.uri("cells"), resume=True))
    assert verify_output(s3.uri("cells")).problems == ()
    s3.server.inject()
    keys = [key for key in s3.keys("cells") if key.endswith(".parquet")]
    assert {key.removeprefix("cells/"): s3.get(key) for key in keys} == whole
    assert SECRET_KEY.encode() not in s3.get("cells/_manifest.json")
