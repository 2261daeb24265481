"""Promotion, its refusals and its record, on bare versions: no model's files are needed."""

import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from neuronedit_jobs.promote import PromoteConfig

from neuronedit.adapters.registry.aliases import alias_moves, check_alias_is_free, current_user, move_alias
from neuronedit.adapters.registry.promotion import Promotion, check_usable, evidence_of, gates_of_review, promote
from neuronedit.adapters.registry.reviews import review_history
from neuronedit.adapters.registry.runs import TrackingConfig, use_store
from neuronedit.adapters.registry.versions import PinnedModel, find_version
from neuronedit.errors import ConfigError, ModelError, TrackingError
from neuronedit.model.gates import GATES, Gate
from neuronedit.model.standing import DIGEST_TAG, OVERRIDE_TAG, SEAL_TAG, Standing

FAILED = "fail 2 > 0.05: donor 2: further from the truth."


@pytest.fixture
def versions(tracking: TrackingConfig, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """Of ``cells``: 1 and 2 passed, 3 failed one gate, 4 was never reviewed."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    client = MlflowClient()
    client.create_registered_model("cells")
    for number in range(1, 5):
        client.create_model_version("cells", f"file:///nowhere/{number}", tags={DIGEST_TAG: "d"})
        if number < 4:
            review(f"models:/cells/{number}", gates(failing=number == 3), "A verdict.")
    return client


def review(uri: str, gates: list[Gate], verdict: str, held_out: Sequence[str] = ()) -> None:
    judged = gates_of_review(pinned(uri), gates, verdict, evidence_of(pinned(uri), held_out))
    assert judged
    judged.write("run")


def gates(*, failing: bool) -> list[Gate]:
    passed = [Gate(name, 0.0, 1.0, "fine.") for name in GATES[:-1]]
    return [*passed, Gate("quantile_map", 2.0 if failing else 0.0, 0.05, "donor 2: further from the truth.")]


def pinned(uri: str) -> PinnedModel:
    """A version whose files nobody opens."""
    return PinnedModel(None, Path(), uri, "d", None, Standing.from_tags(find_version(uri).tags))


def promoted_to(version: int, override: str | None = None, alias: str = "champion") -> Promotion:
    return promote("cells", str(version), alias, override)


def promoted(client: MlflowClient) -> str:
    return str(client.get_model_version_by_alias("cells", "champion").version)  # a database's own is a number


def test_a_review_writes_every_gate_and_its_verdict_to_the_versions_tags(versions: MlflowClient) -> None:
    tags = versions.get_model_version("cells", "3").tags
    assert tags["neuronedit.gate.quantile_map"] == FAILED
    assert tags["neuronedit.gate.support"] == "pass 0 <= 1: fine."
    assert (tags["neuronedit.gates"], tags["neuronedit.verdict"]) == ("fail", "A verdict.")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z by ada", tags["neuronedit.reviewed"])
    assert versions.get_model_version("cells", "1").tags["neuronedit.gates"] == "pass"


def test_a_later_review_replaces_an_earlier_ones_gates(versions: MlflowClient) -> None:
    review("models:/cells/3", gates(failing=False), "Better.")
    assert Standing.from_tags(versions.get_model_version("cells", "3").tags).state == "pass"


def test_a_version_that_passed_is_promoted_and_an_older_one_is_the_way_back(versions: MlflowClient) -> None:
    for version in (1, 2, 1):
        assert promoted_to(version).overridden == {}
        assert promoted(versions) == str(version)
    moves = alias_moves(versions.get_registered_model("cells").tags)
    assert [(move.before, move.after, move.user, move.by) for move in moves] == [
        (None, "1", "ada", "promote"),
        ("1", "2", "ada", "promote"),
        ("2", "1", "ada", "promote"),
    ]
    assert re.fullmatch(r"\S+Z champion: 2 → 1 by ada \(promote\)", moves[2].sentence)
    again = promoted_to(1).move
    assert re.fullmatch(r"\S+Z champion: stays at 1, asked by ada \(promote\)", again.sentence), "no move from 1 to 1"


def test_a_failed_gate_is_refused_with_its_numbers_and_the_ways_on(versions: MlflowClient) -> None:
    promoted_to(1)
    with pytest.raises(
        ModelError,
        match=r"^models:/cells/3 is not promoted to 'champion': not all of its gates stand\.\n"
        r"  reconstruction: pass 0 <= 1: fine\.\n  support: pass 0 <= 1: fine\.\n"
        r"  expected_error: pass 0 <= 1: fine\.\n  quantile_map: fail 2 > 0\.05: donor 2: further from the truth\.\n"
        r"Review it \(neuronedit review --model models:/cells/3\) with held-out samples and the events that it is for, "
        r"promote another version, or answer for it: --override "
        r"\"reason\"\.$",
    ):
        promoted_to(3)
    assert promoted(versions) == "1"
    assert "neuronedit.override" not in versions.get_model_version("cells", "3").tags


def test_a_version_that_was_never_reviewed_is_refused(versions: MlflowClient) -> None:
    with pytest.raises(
        ModelError,
        match=r"models:/cells/4 is not promoted to 'champion': not all of its gates stand\.\n"
        r"(  \w+: never computed: no review of this version has recorded it\n){4}Review it",
    ):
        promoted_to(4)


def test_an_override_is_recorded_with_user_time_and_the_gates_it_is_for(versions: MlflowClient) -> None:
    done = promoted_to(3, "the only one with day 3")
    assert done.overridden == {"quantile_map": FAILED}
    override = json.loads(versions.get_model_version("cells", "3").tags["neuronedit.override"])
    assert re.fullmatch(r"[\d-]+T[\d:.]+Z", override.pop("time"))
    seal = versions.get_model_version("cells", "3").tags[SEAL_TAG]
    assert override == {
        "reason": "the only one with day 3",
        "user": "ada",
        "gates": ["quantile_map"],
        "gates_digest": seal,
    }
    assert done.move.sentence.endswith("champion: 3 by ada (promote, override: the only one with day 3)")
    assert promoted(versions) == "3"


def test_an_override_without_a_reason_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"override: String should match pattern"):
        PromoteConfig.load(None, ["name=cells", "version=1", "override= "])


def test_an_unknown_version_is_told(versions: MlflowClient) -> None:
    with pytest.raises(
        ModelError, match=r"models:/cells/9: model 'cells' has no such version or alias \(versions: 1, 2"
    ):
        promoted_to(9)


def test_an_alias_that_the_registry_does_not_take_is_told(versions: MlflowClient) -> None:
    with pytest.raises(
        ModelError,
        match=r"^models:/cells@latest: the registry refuses to move the alias to version 1 \(.*\)\. Choose another",
    ):
        promoted_to(1, alias="latest")


def test_training_does_not_move_an_alias_that_versions_are_promoted_to(versions: MlflowClient) -> None:
    move_alias("cells", "newest", "1", by="train")
    promoted_to(1)
    check_alias_is_free("cells", "newest")
    check_alias_is_free("other", "champion")
    check_alias_is_free("cells", None)
    with pytest.raises(
        ModelError,
        match=r"^model\.alias = 'champion': versions of 'cells' are promoted to this alias after a review, so training "
        r"does not move it\. Choose another, e\.g\. candidate, and promote the version once it is reviewed\.$",
    ):
        check_alias_is_free("cells", "champion")


def test_a_version_whose_gates_failed_is_not_used(versions: MlflowClient) -> None:
    with pytest.raises(
        ModelError,
        match=r"^models:/cells/3 \(asked for as models:/cells@champion\): its review found that it should not be used: "
        r"quantile_map fail 2 > 0\.05: donor 2: further from the truth\. Use another version, answer for this one "
        r"\(neuronedit promote cells 3 --alias ALIAS --override \"reason\"\), or set allow_failed_gates = true\.$",
    ):
        check_usable(pinned("models:/cells/3"), "models:/cells@champion", allow_failed_gates=False)


def test_it_is_used_where_that_is_allowed_or_an_override_holds(
    versions: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        check_usable(pinned("models:/cells/3"), "models:/cells/3", allow_failed_gates=True)
        promoted_to(3, "the only one")
        check_usable(pinned("models:/cells/3"), "models:/cells/3", allow_failed_gates=False)
    assert [record.message for record in caplog.records] == [
        f"models:/cells/3: gates failed, and it is used all the same: quantile_map {FAILED.rstrip('.')}"
    ] * 2


def test_a_version_that_was_never_reviewed_is_used_with_a_warning(
    versions: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        check_usable(pinned("models:/cells/4"), "models:/cells/4", allow_failed_gates=False)
        check_usable(pinned("models:/cells/1"), "models:/cells/1", allow_failed_gates=False)
        check_usable(PinnedModel(None, Path(), "/folder", "d", None), "/folder", allow_failed_gates=False)
    assert [record.message for record in caplog.records] == ["models:/cells/4: never reviewed; see `neuronedit review`"]


def test_a_user_without_a_name_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise OSError("No username set in the environment")

    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    monkeypatch.setattr("getpass.getuser", nameless)
    assert current_user() == "unknown"


def test_no_database_is_made_where_there_is_none(tmp_path: Path, tracking: TrackingConfig) -> None:
    with pytest.raises(
        TrackingError, match=r"^MLflow at sqlite:///.*gone/mlflow\.db: there is no such database\. Check"
    ):
        use_store(TrackingConfig(uri=f"sqlite:///{tmp_path}/gone/mlflow.db"))
    assert not (tmp_path / "gone").exists()


def test_a_gate_that_was_changed_by_hand_is_not_promoted_and_not_used(versions: MlflowClient) -> None:
    versions.set_model_version_tag("cells", "3", "neuronedit.gate.quantile_map", "pass 0 <= 0.05: fine.")
    with pytest.raises(
        ModelError,
        match=r"^models:/cells/3 is not promoted to 'champion': not all of its gates stand\.\n"
        r"(  \w+: not measured: changed after the review of \S+Z by ada \(neuronedit\.gates\.digest is of others\)\. "
        r"Review the version again\n){4}Review it \(neuronedit review ",
    ):
        promoted_to(3)
    with pytest.raises(
        ModelError,
        match=r"^models:/cells/3: its gates are not its review's: reconstruction, .* not measured: changed after the "
        r"review of .* Use another version, answer for this one .*, or set allow_failed_gates = true\.$",
    ):
        check_usable(pinned("models:/cells/3"), "models:/cells/3", allow_failed_gates=False)


def test_gates_of_other_files_are_not_the_reviews(versions: MlflowClient) -> None:
    versions.set_model_version_tag("cells", "1", DIGEST_TAG, "of other files")
    with pytest.raises(ModelError, match=r"(?s)not all of its gates stand.* changed after the review"):
        promoted_to(1)


def test_a_review_again_is_the_way_back_from_changed_gates(versions: MlflowClient) -> None:
    versions.set_model_version_tag("cells", "1", "neuronedit.verdict", "The best of all.")
    review("models:/cells/1", gates(failing=False), "A verdict.")
    assert promoted_to(1).overridden == {}


def test_an_override_of_changed_gates_is_of_these_alone(
    versions: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    versions.set_model_version_tag("cells", "3", "neuronedit.gate.quantile_map", "pass 0 <= 0.05: fine.")
    assert len(promoted_to(3, "I changed it").overridden) == len(GATES)
    check_usable(pinned("models:/cells/3"), "models:/cells/3", allow_failed_gates=False)
    assert "its gates were changed after the review" in caplog.text
    versions.set_model_version_tag("cells", "3", "neuronedit.gate.support", "pass 0 <= 3: near.")
    with pytest.raises(ModelError, match=r"its gates are not its review's"):
        check_usable(pinned("models:/cells/3"), "models:/cells/3", allow_failed_gates=False)


def test_an_override_does_not_hold_for_a_later_review(versions: MlflowClient) -> None:
    promoted_to(3, "the only one")
    review("models:/cells/3", gates(failing=True), "Reviewed again.")
    with pytest.raises(ModelError, match=r"its review found that it should not be used: quantile_map fail 2 > 0\.05"):
        check_usable(pinned("models:/cells/3"), "models:/cells/3", allow_failed_gates=False)


LOOSENED = Gate("quantile_map", 2.0, 3.0, "donor 2: further from the truth.", default=0.05)
TOLD_LOOSENED = "overridden 2 <= 3 (default 0.05): donor 2: further from the truth."


def test_looser_thresholds_are_no_way_round_a_failed_gate(versions: MlflowClient) -> None:
    review("models:/cells/3", [*gates(failing=True)[:-1], LOOSENED], "Fine, they say.")
    assert versions.get_model_version("cells", "3").tags["neuronedit.gates"] == "overridden"
    with pytest.raises(ModelError, match=r"\n  quantile_map: " + re.escape(TOLD_LOOSENED) + r"\nReview it"):
        promoted_to(3)
    with pytest.raises(ModelError, match=r"its review found that it should not be used: quantile_map overridden 2"):
        check_usable(pinned("models:/cells/3"), "models:/cells/3", allow_failed_gates=False)
    done = promoted_to(3, "I answer for it")
    assert (done.gates["support"], done.gates["quantile_map"]) == ("pass 0 <= 1: fine.", TOLD_LOOSENED)
    assert done.overridden == {"quantile_map": TOLD_LOOSENED}
    check_usable(pinned("models:/cells/3"), "models:/cells/3", allow_failed_gates=False)


def test_less_truth_than_the_review_before_is_no_way_round_a_failed_gate(versions: MlflowClient) -> None:
    review("models:/cells/3", gates(failing=True), "Worse.", ["donor 1", "donor 2"])
    for _ in range(2):
        review("models:/cells/3", gates(failing=False), "No sample was held out.", [])
        with pytest.raises(
            ModelError,
            match=r"\n  evidence: overridden: what an earlier review looked at is not in the last one: "
            r"'donor 1', 'donor 2'\.\nReview it",
        ):
            promoted_to(3)
        with pytest.raises(ModelError, match=r"should not be used: evidence overridden: what an earlier review"):
            check_usable(pinned("models:/cells/3"), "models:/cells/3", allow_failed_gates=False)
    review("models:/cells/3", gates(failing=False), "Other cells.", ["donor 3", "donor 4"])
    with pytest.raises(ModelError, match=r"'donor 1', 'donor 2'"):
        promoted_to(3)
    assert list(promoted_to(3, "donor 1 was mislabelled").overridden) == ["evidence"]
    check_usable(pinned("models:/cells/3"), "models:/cells/3", allow_failed_gates=False)
    review("models:/cells/3", gates(failing=False), "Better.", ["donor 1", "donor 2"])
    with pytest.raises(ModelError, match=r"'donor 3', 'donor 4'"):
        promoted_to(3)
    review("models:/cells/3", gates(failing=False), "Better.", ["donor 1", "donor 2", "donor 3", "donor 4"])
    assert promoted_to(3).overridden == {}


def test_every_review_is_kept_in_the_versions_history(versions: MlflowClient) -> None:
    review("models:/cells/3", gates(failing=False), "Better.")
    history = review_history(versions.get_model_version("cells", "3").tags)
    assert [(record.state, record.verdict) for record in history] == [("fail", "A verdict."), ("pass", "Better.")]
    assert re.fullmatch(r"\S+Z by ada: fail\. A verdict\. \(run run\)", history[0].sentence)


@pytest.mark.parametrize("damaged", ["yes", "{}", "[" * 4000])
def test_a_damaged_override_is_told_and_can_be_given_again(versions: MlflowClient, damaged: str) -> None:
    versions.set_model_version_tag("cells", "3", OVERRIDE_TAG, damaged)
    with pytest.raises(
        ModelError,
        match=r"^models:/cells/3: its review found .* Beware: its tag neuronedit\.override is damaged \(.*\) and holds "
        r"for nothing: give the override again\.$",
    ):
        check_usable(pinned("models:/cells/3"), "models:/cells/3", allow_failed_gates=False)
    promoted_to(3, "the only one")
    check_usable(pinned("models:/cells/3"), "models:/cells/3", allow_failed_gates=False)


def test_a_damaged_record_of_a_move_is_passed_over_with_a_warning(
    versions: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    promoted_to(1)
    versions.set_registered_model_tag("cells", "neuronedit.alias.champion.2026", "no JSON")
    versions.set_registered_model_tag("cells", "neuronedit.alias.champion.2027", "{}")
    assert len(alias_moves(versions.get_registered_model("cells").tags)) == 1
    assert "the tag neuronedit.alias.champion.2026 is damaged: it records no move of an alias" in caplog.text


NAMES = ["o'brien", 'the "best"', "o'brien's \"best\"", "100 %", "a;b", "ä b", "' OR name LIKE '%"]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_can_be_promoted_and_asked_for(tracking: TrackingConfig, name: str) -> None:
    client = MlflowClient()
    client.create_registered_model(name)
    client.create_registered_model("other")
    client.create_model_version(name, "file:///nowhere/1")
    client.create_model_version("other", "file:///nowhere/2")
    check_alias_is_free(name, "champion")
    promote(name, "1", "champion", "to see")
    with pytest.raises(ModelError, match=r"model\.alias = 'champion': versions of .* are promoted to this alias after"):
        check_alias_is_free(name, "champion")
    for uri in (f"models:/{name}/9", f"models:/{name}@nobody"):
        with pytest.raises(ModelError) as told:
            find_version(uri)
        assert str(told.value) == (
            f"{uri}: model {name!r} has no such version or alias (versions: 1; aliases: 'champion'). Correct the "
            "model's URI."
        )
    assert str(find_version(f"models:/{name}@champion").version) == "1"
