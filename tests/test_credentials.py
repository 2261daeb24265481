import pytest

from neuronedit.errors import DataError, masked


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://AKIA:se/cr+et@lab/cells?region=eu", "s3://***@lab/cells?region=eu"),
        (
            "cannot open 's3://AKIA:secret@lab/x', nor s3://A:b@lab/y",
            "cannot open 's3://***@lab/x', nor s3://***@lab/y",
        ),
        ("s3://lab/x?access_key=AKIA&secret_key=abc&region=eu", "s3://lab/x?access_key=***&secret_key=***&region=eu"),
        (
            "abfss://cells@lab.dfs.core.windows.net/x?sas_token=sv%3D1",
            "abfss://cells@lab.dfs.core.windows.net/x?sas_token=***",
        ),
        ("abfs://cells@lab/x?sv=2024&sig=abc%3D", "abfs://cells@lab/x?sv=2024&sig=***"),
        ("postgresql://mlflow:secret@db:5432/runs", "postgresql://***@db:5432/runs"),
    ],
)
def test_credentials_of_a_uri_are_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "gs://anonymous@lab/cells",
        "s3://lab/batch_id=B/cells.parquet?region=eu-west-1",
        "/data/a:b@c/cells",
        "models:/cells@candidate",
        "http://127.0.0.1:9000/lab",
        "sqlite:////tmp/mlflow.db",
    ],
)
def test_what_holds_no_credentials_stays(text: str) -> None:
    assert masked(text) == text


def test_no_error_shows_credentials() -> None:
    assert str(DataError("s3://AKIA:secret@lab/x: not found")) == "s3://***@lab/x: not found"
