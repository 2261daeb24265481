import json
from pathlib import Path

import pytest
from neuronedit_jobs.compare import CompareConfig
from neuronedit_jobs.evaluate import EvaluateConfig
from neuronedit_jobs.ingest import IngestConfig
from neuronedit_jobs.promote import PromoteConfig
from neuronedit_jobs.review import ReviewConfig
from neuronedit_jobs.train import TrainConfig
from neuronedit_jobs.transform import TransformConfig
from neuronedit_jobs.update import UpdateConfig
from pydantic import ValidationError

from neuronedit.cells.panel import Panel, PanelConfig
from neuronedit.cells.transforms import Linear, Logicle
from neuronedit.config import Config, explain_fields
from neuronedit.edits.plans import DEFAULT
from neuronedit.errors import ConfigError, PanelError

JOBS = [
    IngestConfig,
    TrainConfig,
    UpdateConfig,
    TransformConfig,
    ReviewConfig,
    EvaluateConfig,
    PromoteConfig,
    CompareConfig,
]

TRAIN = """
[data]
path = "cells/"
[panel]
markers = ["CD3", "CD4"]
[design]
kind = "pair"
source = {condition = "untreated"}
target = {condition = "treated"}
"""

CONTROLS = TRAIN.split("[design]")[0] + '[design]\nkind = "controls"\ncontrol = {role = "control"}\nreference = "b1"\n'


@pytest.fixture
def toml(tmp_path):
    def write(text=TRAIN):
        path = tmp_path / "job.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def all_fields(config, prefix=""):
    """Every section.key of a configuration, found through its JSON schema."""
    schema = config.model_json_schema()

    def walk(node, prefix):
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node
        for part in [*node.get("oneOf", []), *node.get("anyOf", [])]:
            yield from walk(part, prefix)
        if "items" in node:
            yield from walk(node["items"], prefix)
        for name, inner in node.get("properties", {}).items():
            yield f"{prefix}{name}", inner.get("description", "")
            yield from walk(inner, f"{prefix}{name}.")

    yield from walk(schema, prefix)


def test_a_file_alone_gives_the_defaults_for_the_rest(toml):
    config = TrainConfig.load(toml())
    assert config.data.path == "cells/"
    assert config.design.source == {"condition": "untreated"}
    assert config.training.epochs == 60
    assert config.edit.plan == DEFAULT


def test_the_designs_kind_chooses_its_keys(toml):
    assert TrainConfig.load(toml(CONTROLS)).design.reference == "b1"


@pytest.mark.parametrize(
    ("preset", "plan"),
    [
        ("paper", [("code", "step", "plain")]),
        ("quantile-map", [("visible", "linear", "residual")]),
        ("neurons-then-markers", [("code", "linear", "residual"), ("visible", "linear", "residual")]),
        ("strata", [("visible", "strata", "residual")]),
        ("transport", [("visible", "transport", "residual"), ("visible", "linear", "residual")]),
        ("neurons-strata", [("code", "strata", "residual"), ("visible", "strata", "residual")]),
    ],
)
def test_a_preset_names_a_plan(toml, preset, plan):
    edit = TrainConfig.load(toml(), [f"edit.preset={preset}"]).edit
    assert [(step.layer, step.operator, step.form) for step in edit.plan] == plan
    assert edit.preset == preset


def test_the_default_plan_has_a_name_too(toml):
    named, default = (TrainConfig.load(toml(), given).edit for given in (["edit.preset=trained"], []))
    assert named.plan == default.plan == DEFAULT
    assert (named.given, default.given) == (True, False)


def test_auto_which_is_no_more_is_told(toml):
    with pytest.raises(ConfigError, match=r"edit\.preset: .*found 'auto', which is no more: .* Leave edit\.preset out"):
        TrainConfig.load(toml(), ["edit.preset=auto"])


def test_steps_of_ones_own_are_the_plan(toml):
    edit = TrainConfig.load(toml(), ["edit.steps=[{layer = 'visible'}]"]).edit
    assert [step.layer for step in edit.plan] == ["visible"]


def test_a_preset_and_steps_are_one_plan_too_many(toml):
    overrides = ["edit.preset=paper", "edit.steps=[{layer = 'visible'}]"]
    message = r"edit: give either edit.preset or edit.steps; expected one plan, found two\. Remove one of them"
    with pytest.raises(ConfigError, match=message):
        TrainConfig.load(toml(), overrides)


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("training.epochs=3", ("training", "epochs"), 3),
        ("training.learning_rate=1e-2", ("training", "learning_rate"), 0.01),
        ("workers.use_gpu=true", ("workers", "use_gpu"), True),
        ("data.path=s3://bucket/cells", ("data", "path"), "s3://bucket/cells"),
        ('data.path="quoted text"', ("data", "path"), "quoted text"),
        ("data.path=a=b", ("data", "path"), "a=b"),
        ("data.path=", ("data", "path"), ""),
        ("autoencoder.hidden=[8, 4]", ("autoencoder", "hidden"), (8, 4)),
        ("design.source.condition=basal", ("design", "source"), {"condition": "basal"}),
        ('design.source={condition = "basal", donor = 1}', ("design", "source"), {"condition": "basal", "donor": 1}),
        ("design.source.donor=1", ("design", "source"), {"condition": "untreated", "donor": 1}),
        ("design.source.donor=true", ("design", "source"), {"condition": "untreated", "donor": True}),
        ("design.source.donor=0.5", ("design", "source"), {"condition": "untreated", "donor": 0.5}),
        ("design.source.donor=007", ("design", "source"), {"condition": "untreated", "donor": "007"}),
        ("design.source.donor=1e5", ("design", "source"), {"condition": "untreated", "donor": "1e5"}),
        ("design.source.donor=0x10", ("design", "source"), {"condition": "untreated", "donor": "0x10"}),
        ("design.source.donor=['A', 1]", ("design", "source"), {"condition": "untreated", "donor": ["A", 1]}),
        ("design.source.donor=2026-01-01", ("design", "source"), {"condition": "untreated", "donor": "2026-01-01"}),
        ("data.path=1e5", ("data", "path"), "1e5"),
        ("data.path=0x10", ("data", "path"), "0x10"),
        ("data.path=5 # x", ("data", "path"), "5 # x"),
        ("data.path=true", ("data", "path"), "true"),
        ("data.path=2026-01-01", ("data", "path"), "2026-01-01"),
        ("data.path=[x]", ("data", "path"), "[x]"),
        ("data.path={a = 1}", ("data", "path"), "{a = 1}"),
        ("data.path='5 # x'", ("data", "path"), "5 # x"),
        ("tracking.uri=1e5", ("tracking", "uri"), "1e5"),
        ("panel.markers=['CD3', 1e5]", ("panel", "markers"), ("CD3", "1e5")),
        ("training_data.events_per_population=all", ("training_data", "events_per_population"), "all"),
        ("training_data.events_per_population=1_000", ("training_data", "events_per_population"), 1000),
    ],
)
def test_set_reads_a_toml_value_or_else_bare_text(toml, override, path, value):
    config = TrainConfig.load(toml(), [override])
    for name in path:
        config = getattr(config, name)
    assert config == value


def test_the_last_of_several_overrides_holds(toml):
    assert TrainConfig.load(toml(), ["training.epochs=3", "training.epochs=4"]).training.epochs == 4


def test_overrides_alone_are_enough():
    overrides = ["sample_sheet=sheet.csv", "output=cells"]
    assert IngestConfig.load(None, overrides).sample_sheet == "sheet.csv"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epochs", r"--set training.epochs: expected section.key=value"),
        ("=3", r"--set =3: expected section.key=value"),
        ("data.path.deep=3", r"--set data.path.deep=3: 'path' is a value, not a section"),
        ("training.epoch=3", r"unknown key 'training.epoch'; nearest name 'epochs'\. Known keys of training: 'epochs'"),
        ("trainng.epochs=3", r"unknown key 'trainng'; nearest name 'training'\. Known keys: 'data', 'panel'"),
        ("training.epochs=0", r"training.epochs: Input should be greater than or equal to 1; found 0\."),
        ("training.epochs=ten", r"training.epochs: Input should be a valid integer, .*; found ten\."),
        (
            "edit.preset=2026-01-01",
            r"edit.preset: Input should be .*; found 2026-01-01\.",
        ),
        (
            "panel=panel.csv",
            r"panel: expected a section, not a value; found panel\.csv\. "
            r"Give its keys, as --set panel\.file=VALUE\. Known keys: 'file', 'markers', 'cofactor', 'exclude'\.",
        ),
        (
            "data=cells",
            r"data: expected a section, not a value; found cells\. Give its keys, as --set data\.path=VALUE\. ",
        ),
        ("sample=5", r"sample: expected a section, not a value; found 5\. Give its keys, as --set sample\.events"),
        ("panel.file=panel.csv", r"panel: give either panel.file or panel.markers"),
        ("edit.steps=[]", r"edit: edit.steps is empty; expected at least one step\. Remove the key for the default"),
        (
            "edit.steps=[{from_events=9}]",
            r"edit: every step of edit\.steps is for .*; expected one that is fitted to any",
        ),
        ("edit.steps=[{layr = 'code'}]", r"unknown key 'edit.steps.0.layr'; nearest name 'layer'\. Known keys of edit"),
        (
            "edit.steps=[{operator = 'bins'}]",
            r"edit.steps.0.operator: Input should be 'step', 'linear', 'neighbours', 'strata', 'transport' or "
            r"'trained'",
        ),
        (
            "edit.preset=papr",
            r"edit.preset: Input should be 'trained', 'paper', 'quantile-map', 'neurons-then-markers', 'strata', "
            r"'transport' or 'neurons-strata'",
        ),
        ("edit.preset=[1]", r"edit.preset: Input should be 'trained'"),
        ("edit.steps=[{operator = 'strata', n_strata = 0}]", r"edit.steps.0.n_strata: .*greater than or equal to 1"),
        ("design=5", r"design: .*; found 5"),
    ],
)
def test_an_override_that_cannot_be_used_is_told(toml, override, message):
    with pytest.raises(ConfigError, match=message):
        TrainConfig.load(toml(), [override])


def test_a_message_names_the_file(toml):
    path = toml(TRAIN + "[trainig]\n")
    with pytest.raises(ConfigError, match=rf"^{path}: unknown key 'trainig'"):
        TrainConfig.load(path)


def test_a_missing_key_is_named_with_both_ways_to_give_it():
    with pytest.raises(
        ConfigError,
        match=r"command line: the key 'output' is missing\. Add it to the file, or give --set output=VALUE\.",
    ):
        IngestConfig.load(None)
    with pytest.raises(ConfigError, match=r"from is fcs, and the key 'sample_sheet' is missing; give --set sample_s"):
        IngestConfig.load(None, ["output=cells"])


def test_a_key_that_is_no_name_in_python_is_read_shown_and_logged():
    config = IngestConfig.load(None, ["from=h5ad", "file=cells.h5ad", "output=cells"])
    assert (config.from_, config.flat()["from"]) == ("h5ad", "h5ad")
    assert "  from  ('fcs' | 'h5ad', default fcs)" in explain_fields(IngestConfig)
    with pytest.raises(ConfigError, match=r"unknown key 'fro'; nearest name 'from'\. Known keys: 'from', 'sample"):
        IngestConfig.load(None, ["fro=h5ad", "output=cells"])
    with pytest.raises(ConfigError, match=r"from: Input should be 'fcs' or 'h5ad'; found csv"):
        IngestConfig.load(None, ["from=csv", "output=cells"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("source =", "sorce ="), r"the key 'design.source' is missing"),
        (("source =", "sorce ="), r"unknown key 'design.sorce'; nearest name 'source'. Known keys of design: 'kind'"),
        (('{condition = "treated"}', "{}"), r"design.target: .*at least 1 item"),
        (('{condition = "treated"}', '"treated"'), r"design.target: Input should be a valid dictionary; found treated"),
        (('kind = "pair"', 'kind = "pear"'), r"design.kind: expected one of 'pair', 'controls'; found pear\."),
        (('kind = "pair"', ""), r"the key 'design.kind' is missing; expected one of 'pair', 'controls'"),
    ],
)
def test_messages_of_a_design_name_the_key_as_the_user_wrote_it(toml, change, message):
    with pytest.raises(ConfigError, match=message) as caught:
        TrainConfig.load(toml(TRAIN.replace(*change)))
    assert "design.pair" not in str(caught.value)  # pydantic's own location has the tag


def test_an_unknown_key_of_a_design_is_compared_with_the_keys_of_its_kind(toml):
    with pytest.raises(
        ConfigError, match=r"unknown key 'design.sources'.*Known keys of design: 'kind', 'batch_column'"
    ):
        TrainConfig.load(toml(CONTROLS + "sources = 1\n"))


def test_a_section_that_is_missing_is_told_with_its_keys():
    overrides = ["data.path=cells", 'design={kind="controls", control={role="control"}, reference="1"}']
    with pytest.raises(ConfigError) as caught:
        TrainConfig.load(None, overrides)
    assert str(caught.value) == (
        "command line: the section 'panel' is missing. Give its keys, as --set panel.file=VALUE. "
        "Known keys: 'file', 'markers', 'cofactor', 'exclude'."
    )


def test_a_number_in_a_file_is_a_text_as_it_is_written(toml):
    path = toml(TRAIN + "[tracking]\nexperiment = 1.50\n[training]\nlearning_rate = 1e-2\n")
    assert TrainConfig.load(path).tracking.experiment == "1.50"
    assert TrainConfig.load(path).training.learning_rate == 0.01


def test_a_file_that_is_missing_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"none.toml: the configuration cannot be read \(No such file or directory\)"):
        TrainConfig.load(tmp_path / "none.toml")


@pytest.mark.parametrize("content", [b"data = ", b"\xff\xfe"], ids=["syntax", "encoding"])
def test_a_file_that_is_not_toml_is_told(tmp_path, content):
    (tmp_path / "job.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"job.toml: not valid TOML: "):
        TrainConfig.load(tmp_path / "job.toml")


@pytest.mark.parametrize("config", JOBS)
def test_help_lists_every_field_with_its_meaning(config):
    text = explain_fields(config)
    fields = list(all_fields(config))
    assert set(config.model_fields) - {"from_"} <= {key for key, _ in fields}
    for key, description in fields:
        assert f"  {key}  (" in text
        assert description
        assert description in text


@pytest.mark.parametrize(
    "line",
    [
        "data  (section, required)",
        "data.path  (text, required)",
        "panel.markers  (list of texts, default [])",
        "panel.cofactor  (number, default 5.0)",
        "design.source  (table, required)",
        "design.kind  ('pair', required)",
        "design.kind  ('controls', required)",
        "training  (section, optional)",
        "training.epochs  (integer, default 60)",
        "workers.use_gpu  (true or false, default false)",
        "edit.steps  (list of sections, optional)",
        "edit.steps.operator  ('step' | 'linear' | 'neighbours' | 'strata' | 'transport' | 'trained', default linear)",
        "ray.num_cpus  (integer, default null)",
    ],
)
def test_help_tells_a_fields_type_and_default(line):
    assert f"  {line}\n" in explain_fields(TrainConfig)


def test_flat_names_every_setting_as_set_would(toml):
    flat = TrainConfig.load(toml()).flat()
    assert flat["data.path"] == "cells/"
    assert flat["autoencoder.hidden"] == "[200, 100]"
    assert flat["design.source.condition"] == "untreated"
    assert flat["workers.use_gpu"] == "false"
    assert flat["ray.address"] == "null"
    assert flat["design.extrapolation"] == "{}"


def test_the_digest_depends_on_the_settings_and_on_nothing_else(toml):
    config = TrainConfig.load(toml())
    reordered = TrainConfig.load(toml("[training]\nepochs = 60\n" + TRAIN))
    assert config.digest() == reordered.digest()
    assert config.digest() != TrainConfig.load(toml(), ["training.epochs=3"]).digest()
    json.dumps(config.flat())


def test_what_decides_the_outputs_bits_is_told_apart_from_who_computes_them():
    settings = ["data.path=cells", "model=m", "output=edited"]
    rules = TransformConfig.load(None, settings).rules()
    others = ["workers=3", "actors_per_gpu=2", "resume=true"]
    assert TransformConfig.load(None, [*settings, *others]).rules() == rules
    assert TransformConfig.load(None, [*settings, "use_gpu=true"]).rules() != rules
    assert rules["serve"] == "student"
    assert TransformConfig.load(None, [*settings, "serve=teacher"]).rules() == {**rules, "serve": "teacher"}


def test_who_serves_is_one_of_two():
    with pytest.raises(ConfigError, match=r"serve: Input should be 'student' or 'teacher'; found pupil\."):
        TransformConfig.load(None, ["data.path=cells", "model=m", "output=edited", "serve=pupil"])


def test_a_configuration_cannot_be_changed(toml):
    with pytest.raises(ValidationError, match="frozen"):
        TrainConfig.load(toml()).training.epochs = 3


def test_a_tuple_field_is_shown_in_short_when_it_is_long():
    class Names(Config):
        """Names."""

        names: tuple[int, ...]

    with pytest.raises(ConfigError, match=r"names: Input should be a valid tuple; found a{77}"):
        Names.load(None, ["names=" + "a" * 77])


def test_a_panel_is_made_from_names_or_from_a_file(tmp_path):
    (tmp_path / "panel.csv").write_text("marker,cofactor\nCD3,150\nCD4,\n")
    assert PanelConfig(file=str(tmp_path / "panel.csv")).read() == Panel(("CD3", "CD4"), (150.0, 5.0))
    assert PanelConfig(markers=("CD3",), cofactor=150).read() == Panel(("CD3",), (150.0,))


def test_a_job_takes_each_markers_transform_from_the_panel_file(tmp_path):
    (tmp_path / "panel.csv").write_text("marker,transform,cofactor,top\nCD3,,150,\nCD4,logicle,,1000\nCD8,linear,,\n")
    settings = ["data.path=cells", f"panel.file={tmp_path / 'panel.csv'}", 'panel.exclude=["CD3"]']
    design = ["design.kind=controls", "design.reference=1", 'design.control={role="control"}']
    panel = TrainConfig.load(None, [*settings, *design]).panel.read()
    assert panel == Panel(("CD4", "CD8"), (Logicle(top=1000), Linear()))


def test_excluded_markers_leave_the_panel():
    assert PanelConfig(markers=("CD3", "CD4"), exclude=("CD3",)).read() == Panel(("CD4",), (5.0,))


def test_a_marker_to_exclude_must_be_of_the_panel():
    with pytest.raises(
        PanelError, match=r"panel.exclude: 'CD33' is not in the panel; nearest name 'CD3'\. Correct the"
    ):
        PanelConfig(markers=("CD3", "CD4"), exclude=("CD33",)).read()


def test_numbers_and_days_name_batches_without_quotes():
    shared = ["data.path=cells", 'panel.markers=["CD3"]', 'design.control={role="control"}', "design.kind=controls"]
    for reference in ("3", "2026-01-31", "day1"):
        config = TrainConfig.load(None, [*shared, f"design.reference={reference}"])
        assert config.design.reference == reference


def test_the_example_of_each_job_is_valid():
    by_their_place = {CompareConfig: ["first=models:/demo/1", "second=models:/demo/2"]}
    for config in JOBS:
        name = config.__name__.removesuffix("Config").lower()
        if config is not PromoteConfig:  # two words and an alias need no file
            config.load(Path(__file__).parents[1] / "jobs" / f"{name}.toml", by_their_place.get(config, []))
