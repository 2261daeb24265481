from pathlib import Path

import pytest

from neuronedit.config import Config, explain_fields
from neuronedit.errors import ConfigError
from neuronedit.job_configs import IngestConfig, ReviewConfig, TrainConfig, TransformConfig

JOBS = Path(__file__).parents[1] / "jobs"
MINIMAL = [
    "data.path=cells",
    'panel.markers=["CD3"]',
    'design={kind="pair", source={a=1}, target={a=2}}',
]


def test_values_are_toml_and_bare_words_are_text() -> None:
    config = TrainConfig.load(None, [*MINIMAL, "training.epochs=7", "workers.use_gpu=true", "model.name=lps"])
    assert (config.training.epochs, config.workers.use_gpu, config.model.name) == (7, True, "lps")
    assert config.data.path == "cells"


def test_overrides_come_after_the_file_and_in_order(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text('model = "m"\noutput = "file"\n[data]\npath = "cells"\n')
    config = TransformConfig.load(tmp_path / "t.toml", ["output=first", "output=second"])
    assert config.output == "second"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "training.epoch=3",
            r"unknown key 'training\.epoch'; nearest name 'epochs'\. Known keys of training: '",
        ),
        ("trainin.epochs=3", r"unknown key 'trainin'; nearest name 'training'"),
        ("design.sorce={a=1}", r"unknown key 'design\.sorce'; nearest name 'source'\. Known keys of design: 'kind'"),
        ('edit.steps=[{layr="code"}]', r"unknown key 'edit\.steps\.0\.layr'; nearest name 'layer'"),
        ("training.epochs=many", r"training\.epochs: Input should be a valid integer.*found many"),
        ("training.minibatch=0", r"training\.minibatch: Input should be greater than or equal to 1; found 0"),
        ('edit.steps=[{operator="stop"}]', r"operator: Input should be 'step', 'linear' or 'neighbours'; found stop"),
        ("panel.file=panel.csv", r"panel: give either panel\.file or panel\.markers"),
        ("training", r"--set training: expected section\.key=value"),
        ("data.path.x=1", r"--set data\.path\.x=1: 'path' is a value, not a section"),
    ],
)
def test_bad_settings_are_explained(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig.load(None, [*MINIMAL, override])


def test_missing_keys_are_all_named() -> None:
    with pytest.raises(ConfigError) as caught:
        TransformConfig.load(None)
    for key in ("data", "model", "output"):
        assert f"the key {key!r} is missing. Add it to the file, or give --set {key}=VALUE." in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"), [(b"[data", "not valid TOML"), (b"\xff\xfe", "not valid TOML"), (None, "cannot be read")]
)
def test_an_unreadable_file_is_explained(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "t.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=rf"t\.toml: .*{message}"):
        TrainConfig.load(tmp_path / "t.toml")


@pytest.mark.parametrize("config", [IngestConfig, TrainConfig, TransformConfig, ReviewConfig])
def test_help_explains_every_setting(config: type[Config]) -> None:
    text = explain_fields(config)
    for name, field in config.model_fields.items():
        assert f"  {name}  (" in text
        assert field.description
        assert field.description in text
    assert "None" not in text


def test_the_example_of_each_job_is_valid() -> None:
    for name, config in (
        ("ingest", IngestConfig),
        ("train", TrainConfig),
        ("transform", TransformConfig),
        ("review", ReviewConfig),
    ):
        assert config.load(JOBS / f"{name}.toml").digest()


def test_flat_settings_name_every_leaf() -> None:
    flat = TrainConfig.load(None, MINIMAL).flat()
    assert flat["training.epochs"] == "60"
    assert flat["design.source.a"] == "1"
    assert flat["panel.markers"] == '["CD3"]'
