import pytest

from neuronedit import errors
from neuronedit.errors import DataError, NeuroneditError, listing, masked, nearest_name


def test_every_error_has_the_one_base():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert NeuroneditError in kinds
    assert len(kinds) > 1
    assert all(issubclass(kind, NeuroneditError) for kind in kinds)


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("CD45", ["CD3", "CD45RA"], "; nearest name 'CD45RA'"),
        ("cd3", ["CD3"], "; nearest name 'CD3'"),
        ("CD3", ["xyz"], ""),
        ("CD3", [], ""),
    ],
)
def test_the_nearest_name_ignores_case_and_may_be_none(name, known, expected):
    assert nearest_name(name, known) == expected


def test_a_long_listing_counts_what_it_leaves_out():
    assert listing(["a", "b", "c"], limit=2) == "'a', 'b' and 1 more"
    assert listing(["a", "b"], limit=2) == "'a', 'b'"
    assert listing([]) == ""


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
