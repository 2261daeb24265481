"""What a training and its search leave in MLflow."""

import math

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from neuronedit.adapters.files.storage import locate
from neuronedit.adapters.registry.results import folder_results
from neuronedit.adapters.registry.runs import TrackingConfig, tracked_run
from neuronedit.adapters.registry.training_runs import log_search, log_trial
from neuronedit.fitting.search_result import SearchResult, SearchSetting, SearchTrial
from neuronedit.network.autoencoder import Architecture
from neuronedit.network.plan import TrainingPlan


def trial(code: int, error: float, failure: str = "") -> SearchTrial:
    setting = SearchSetting(Architecture(hidden=(8,), code=code), TrainingPlan())
    return SearchTrial(setting, 100 * code, 0.25, {"B": error}, failure)


def test_each_trial_is_a_run_within_the_trainings_run_and_the_choice_is_in_it(tracking: TrackingConfig) -> None:
    trials = (trial(2, 0.5), trial(4, 0.25), trial(8, math.nan, "Training diverged"))
    with tracked_run("train", {"autoencoder.code": "50"}) as run_id:
        for number, tried in enumerate(trials, start=1):
            log_trial(number, tried)
        log_search(SearchResult(trials))
    client, run = MlflowClient(), mlflow.get_run(run_id)
    nested = client.search_runs([run.info.experiment_id], f"tags.mlflow.parentRunId = '{run_id}'")
    found = {of.data.params["code"]: of for of in nested}
    assert {code: of.info.run_name for code, of in found.items()} == {"2": "trial 1", "4": "trial 2", "8": "trial 3"}
    assert found["4"].data.metrics == {"validation_loss": 0.25, "left_out_error": 0.25}
    assert (found["8"].info.status, found["8"].data.tags["failure"]) == ("FAILED", "Training diverged")
    assert found["8"].data.metrics == {"validation_loss": 0.25}
    assert (run.data.params["chosen.code"], run.data.params["autoencoder.code"]) == ("4", "50")
    assert run.data.metrics.items() >= {"search/left_out_error": 0.25, "search/trials": 3}.items()
    assert "search.csv" in [artifact.path for artifact in client.list_artifacts(run_id)]


@pytest.mark.parametrize(("prefix", "name"), [(None, "review/score"), ("", "score")])
def test_results_are_artifacts_and_metrics_under_the_jobs_name(
    tracking: TrackingConfig, tmp_path, prefix: str | None, name: str
) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "page.html").write_text("<p>")
    with tracked_run("review", {}) as run_id:
        folder_results("review", {"score": 0.5}, prefix=prefix).log(locate(str(tmp_path / "results")))
    assert mlflow.get_run(run_id).data.metrics[name] == 0.5
    assert [found.path for found in MlflowClient().list_artifacts(run_id, "review")] == ["review/page.html"]
