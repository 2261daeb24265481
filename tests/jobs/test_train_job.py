import mlflow
import pyarrow.parquet as pq
import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from neuronedit_jobs import train

from neuronedit.adapters.registry.versions import PinnedModel, pinned_model
from tests.jobs.conftest import Command
from tests.jobs.story import Said, Workplace
from tests.synthetic_cells import MARKERS

pytestmark = pytest.mark.ray

Trained = tuple[Workplace, Said]


def registered(workplace: Workplace) -> tuple[PinnedModel, Run]:
    mlflow.set_tracking_uri(workplace.uri)
    mlflow.set_registry_uri(workplace.uri)
    pinned = pinned_model("models:/cells/1")
    return pinned, MlflowClient().get_run(pinned.run_id)


class TestControlsDesign:
    def test_the_command_says_what_it_registered_and_nothing_else(self, trained: Trained) -> None:
        workplace, said = trained
        assert said.status == 0, said.err
        digest = registered(workplace)[0].digest
        assert said.out == f"models:/cells/1: 2 edit(s) of 6 markers, sha256 {digest[:12]}\n"
        assert "Traceback" not in said.err
        assert len(said.err.splitlines()) < 25, said.err

    def test_the_model_leads_every_other_batch_to_the_reference(self, trained: Trained) -> None:
        model = registered(trained[0])[0].model
        assert (list(model.edits), model.reference) == (["B", "C"], "A")
        assert model.panel.markers == MARKERS
        assert model.facts["events"] == {"control A": 600, "control B": 500, "control C": 350}
        assert model.facts["extrapolation_seen"] is False

    def test_the_run_has_settings_losses_and_data(self, trained: Trained) -> None:
        pinned, run = registered(trained[0])
        assert run.info.status == "FINISHED"
        assert run.data.params["training.epochs"] == "8"
        assert run.data.params["model.alias"] == "candidate"
        assert run.data.params["design.reference"] == "A"
        history = MlflowClient().get_metric_history(run.info.run_id, "train_loss")
        assert sorted(metric.step for metric in history) == [*range(1, 9)]
        (entry,) = run.inputs.dataset_inputs
        assert pinned.model.facts["data"]["sha256"] in entry.dataset.profile
        assert '"events of control A": 600' in entry.dataset.profile
        assert run.info.run_name == "train cells v1"
        assert "Made models:/cells/1, whose page tells" in run.data.tags["mlflow.note.content"]
        assert any(name.startswith("system/") for name in run.data.metrics)

    def test_the_alias_points_at_the_version(self, trained: Trained) -> None:
        registered(trained[0])
        assert pinned_model("models:/cells@candidate").uri == "models:/cells/1"

    def test_a_search_trains_with_the_settings_that_do_best_on_populations_left_out(self, trained: Trained) -> None:
        pinned, run = registered(trained[0])
        found = pinned.model.facts["search"]
        # Six markers of two kinds of cell, each with its own gain and noise, do not fit through one neuron.
        assert found["chosen"] == {"hidden": [32, 16], "code": 4, "weight_decay": 0.0, "noise": 0.0}
        assert pinned.model.autoencoder.architecture.code == 4
        assert pinned.model.facts["training"]["epochs"] == 8
        assert found["sentence"] in trained[1].err
        assert (run.data.params["chosen.code"], run.data.params["autoencoder.code"]) == ("4", "6")
        client = MlflowClient()
        found_runs = client.search_runs([run.info.experiment_id], f"tags.mlflow.parentRunId = '{run.info.run_id}'")
        trials = [trial for trial in found_runs if "code" in trial.data.params]  # reviews are below it, too
        errors = {trial.data.params["code"]: trial.data.metrics["left_out_error"] for trial in trials}
        assert set(errors) == {"1", "4"}
        assert errors["4"] == found["error"] == run.data.metrics["search/left_out_error"] < errors["1"]
        assert all("validation_loss" in trial.data.metrics for trial in trials)
        assert "search.csv" in [artifact.path for artifact in client.list_artifacts(run.info.run_id)]


def test_labels_reach_the_edits_and_a_mix_without_overlap_is_refused(
    workplace: Workplace, ray_cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    # The batch as the cell type: what the source has, the target lacks.
    overrides = ["--set", "edit.match_composition=true", "--set", "edit.population_column=batch_id"]
    assert train.main([workplace.train, *overrides]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "neuronedit train: Composition: source and target share no stratum (source: 'B'; target: 'A')." in said.err
    assert "training on" not in said.err, "refused before anything is trained"
    mlflow.set_registry_uri(workplace.uri)
    assert MlflowClient(workplace.uri).search_registered_models() == []


def test_an_edit_of_no_layer_is_told_with_status_2_before_anything_is_drawn(
    workplace: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main([workplace.train, "--set", 'edit.steps=[{layer="cod"}]']) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("neuronedit train: The autoencoder has no layer 'cod' (layers: ")


def test_a_marker_to_be_moved_that_the_panel_lacks_is_told_before_anything_is_drawn(
    workplace: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main([workplace.train, "--set", 'edit.markers=["CD3", "CD45 RA"]']) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("neuronedit train: edit.markers: found 'CD45 RA'; expected markers of the panel, as ")


def test_data_that_cannot_be_learned_from_is_told_with_status_2_and_registers_nothing(
    workplace: Workplace, ray_cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = workplace.cells / "C-control.parquet"
    pq.write_table(pq.read_table(path).slice(0, 1), path)
    assert train.main([workplace.train]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "The population 'control C' has 1 event; expected at least 50 to estimate percentiles" in said.err
    assert MlflowClient().search_registered_models() == []
    (run,) = MlflowClient().search_runs([mlflow.get_experiment_by_name("tests").experiment_id])
    assert run.info.status == "FAILED"


def test_a_mistyped_key_ends_the_real_command_with_one_line_and_status_2(
    workplace: Workplace, command: Command
) -> None:
    done = command("jobs/train.py", workplace.train, "--set", "training.epocs=3")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("neuronedit train: ")
    assert "unknown key 'training.epocs'; nearest name 'epochs'" in done.stderr
