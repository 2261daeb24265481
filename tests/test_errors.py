import random
import string
from urllib.parse import quote_plus

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
        ("postgresql://lab:p#a?s'w @rd@db/runs: no answer.", "postgresql://***@db/runs: no answer."),
        ("https://ghp_abc@host/x", "https://***@host/x"),
        ("s3:/AKIA:secret@lab/x", "s3:/***@lab/x"),
        ("postgresql://db?password=p@ss&a=b", "postgresql://db?password=***&a=b"),
        ("mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BPWD%3Dsecret", "mssql+pyodbc:///?odbc_connect=***"),
        ("https://h/?next=postgresql%3A%2F%2Fu%3Apw%40db%2Fx", "https://h/?next=postgresql%3A%2F%2F***%40db%2Fx"),
        (
            "cells: AWS_SECRET_ACCESS_KEY=abc is wrong. Check.",
            "cells: AWS_SECRET_ACCESS_KEY=*** is wrong. Check.",
        ),
        ("sent Authorization: Bearer abc.def, refused", "sent Authorization: ***, refused"),
        ('{"password": "a b", "user": "u"}', '{"password": "***", "user": "u"}'),
        ('{"uri": "s3://lab/x?secret_key=abc"}', '{"uri": "s3://lab/x?secret_key=***"}'),
        ("DRIVER={x};UID=sa;PWD={a;b};Encrypt=yes", "DRIVER={x};UID=sa;PWD=***"),
        (
            "s3://lab/x?secret_key=abc: not found. Expected a file.",
            "s3://lab/x?secret_key=***: not found. Expected a file.",
        ),
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
        "s3://lab/a@b/c",
        "s3://lab/key=3/x.parquet?scheme=http&endpoint_override=127.0.0.1:1",
        "abfss://cells@lab.dfs.core.windows.net/day1",
        "C:\\data\\a@b",
        "C:/data/a@b:c@d",
        "file://C:/data/a@b",
        "mlflow-artifacts:/1/a",
        "http://127.0.0.1:5000: models:/cells@champion is not there. Check $AWS_SECRET_ACCESS_KEY and the token.",
        "--set x: expected section.key=value.",
        "the key 'panel' is missing; n_keys=3, CD3:PE@488",
    ],
)
def test_what_holds_no_credentials_stays(text: str) -> None:
    assert masked(text) == text


def test_no_error_shows_credentials() -> None:
    assert str(DataError("s3://AKIA:secret@lab/x: not found")) == "s3://***@lab/x: not found"


SECRET_NAMES = [
    "password",
    "pass",
    "pwd",
    "passwd",
    "key",
    "auth",
    "token",
    "secret",
    "sig",
    "signature",
    "credential",
    "credentials",
    "access_key",
    "secret_key",
    "sas",
    "sas_token",
    "api_key",
    "PASSWORD",
    "Pwd",
    "accountKey",
    "account_key",
    "odbc_connect",
    "p%61ssword",
    "X-Amz-Signature",
    "client_secret",
]
USERS = (
    "s3://AKIA:{}@lab/x",
    "postgresql://mlflow:{}@db:5432/runs",
    "mysql+pymysql://u:{}@h/db?charset=utf8",
    "https://u:{}@host:5000/a@b",
    "s3:/AKIA:{}@lab/x",
    "abfs://lab:{}@cells/day",
    "http://:{}@h",
)
TOKENS = ("https://{}@github.com/x/y", "https://{}:x-oauth-basic@host/x", "https://{}:@host")
QUERIES = ("s3://lab/x?{name}={{}}", "s3://lab/x?region=eu&{name}={{}}&a=b", "https://host:5000?{name}={{}}")
TEXTS = (
    "password={}",
    "AWS_SECRET_ACCESS_KEY={}",
    "Authorization: Bearer {}",
    "Authorization: Basic {}",
    "token='{}'",
    "'secret_key': '{}'",
    "AccountName=x;AccountKey={};EndpointSuffix=y",
    "UID=y;PWD={}",
)
MESSAGES = (
    "{}",
    "cells: {} cannot be opened. Check its name.",
    "'{}': not found",
    "see http://h:1/ and ({})",
    "{}\nnext",
    "{}, not s3://a:b@c/d or models:/x@champion",
)


@pytest.mark.parametrize("message", MESSAGES)
def test_no_secret_is_shown_wherever_it_stands(message: str) -> None:
    random_ = random.Random(7)

    def secret(odd: str) -> str:
        plain = string.ascii_letters + string.digits
        # The first is plain, since asterisks are what stands for it.
        return random_.choice(plain) + "".join(
            random_.choice(plain * 2 + odd * 4) for _ in range(random_.randint(6, 20))
        )

    cases = [(form, "#?' @/=%+:;,.!$^*~&") for form in USERS for _ in range(8)]
    cases += [(form, "-_.~!*#'") for form in TOKENS for _ in range(8)]
    cases += [(form.format(name=name), "#?'@/=%+:;,.!$^*~") for form in QUERIES for name in SECRET_NAMES]
    cases += [(form, "#?@/=%+:.!$^*~") for form in TEXTS for _ in range(8)]
    for form, odd in cases:
        raw = secret(odd)
        for told in (raw, quote_plus(raw)):
            text = message.format(form.format(told))
            assert told not in masked(text), text
            assert masked(masked(text)) == masked(text)


def test_an_error_shows_no_credentials_to_a_programmer_either() -> None:
    assert repr(DataError("s3://AKIA:secret@lab/x: not found")) == "DataError('s3://***@lab/x: not found')"
