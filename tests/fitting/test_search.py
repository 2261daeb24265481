import numpy as np
import pytest

from neuronedit.edits.operators.table import EditStep
from neuronedit.edits.pair_events import PairEvents
from neuronedit.edits.plans import DEFAULT, EditConfig
from neuronedit.errors import ConfigError, DataError, ModelError
from neuronedit.fitting.search import LeftOutEvents, check_folds, searched_plan, try_setting
from neuronedit.fitting.search_result import SearchConfig, SearchResult, SearchSetting, SearchTrial, settings
from neuronedit.network.autoencoder import Architecture, Autoencoder
from neuronedit.network.plan import TrainingPlan

ARCHITECTURE = Architecture(hidden=(16,), code=4)
TRAINING = TrainingPlan(epochs=15, minibatch=64, learning_rate=1e-2, noise=0.1)
ZEROS = np.full(4, -99, np.float32)
CODE = EditConfig(steps=(EditStep(layer="code"),))


def kinds(n_events: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Three kinds of cell in four markers."""
    generator = np.random.default_rng(seed)
    centres = np.array([[0, 0, 0, 0], [4, 0, 2, 0], [0, 4, 0, 2]])
    events = centres[generator.integers(0, 3, n_events)] + 0.5 * generator.normal(size=(n_events, 4))
    return (events + shift * np.array([1, 0, -1, 0])).astype(np.float32)


def setting(hidden: tuple[int, ...], code: int, weight_decay: float = 0.0, noise: float = 0.0) -> SearchSetting:
    training = TRAINING.model_copy(update={"weight_decay": weight_decay, "noise": noise})
    return SearchSetting(Architecture(hidden=hidden, code=code), training)


def test_the_grid_has_every_combination_and_the_configured_value_of_what_is_not_searched():
    found = settings(SearchConfig(hidden=((8,), (8, 4)), weight_decay=(0, 0.1)), ARCHITECTURE, TRAINING)
    assert found == [
        setting((8,), 4, 0.0, 0.1),
        setting((8,), 4, 0.1, 0.1),
        setting((8, 4), 4, 0.0, 0.1),
        setting((8, 4), 4, 0.1, 0.1),
    ]
    assert settings(SearchConfig(code=(3, 3)), ARCHITECTURE, TRAINING) == [setting((16,), 3, 0.0, 0.1)]


def test_fewer_trials_are_drawn_from_the_grid_by_the_seed():
    search = SearchConfig(code=tuple(range(1, 21)), trials=4)
    found = settings(search, ARCHITECTURE, TRAINING)
    assert len(found) == len(set(found)) == 4
    assert found == sorted(found, key=lambda setting: setting.architecture.code)
    assert found == settings(search, ARCHITECTURE, TRAINING)
    assert found != settings(search, ARCHITECTURE, TRAINING.model_copy(update={"seed": 1}))


def test_a_search_is_off_unless_there_is_something_to_try():
    assert not SearchConfig().enabled
    assert not SearchConfig(trials=3).enabled
    assert SearchConfig(noise=(0.1,)).enabled


def test_a_settings_network_has_as_many_weights_as_it_counts():
    found = setting((8, 6), 3)
    network = Autoencoder(5, found.architecture)
    assert found.n_weights(5) == sum(weights.numel() for weights in network.parameters())
    assert str(found) == "hidden 8-6, code 3, weight decay 0, noise 0"


@pytest.fixture(scope="module")
def left_out():
    events = PairEvents(kinds(300, 0), kinds(300, 1, shift=1.0))
    return {"pair": LeftOutEvents.from_events(events, ZEROS, 21, 0)}


@pytest.fixture(scope="module")
def populations():
    return {"source": kinds(300, 0), "target": kinds(300, 1, shift=1.0)}


def test_a_code_wide_enough_beats_a_narrow_one_on_populations_left_out(left_out, populations):
    plan = searched_plan(CODE, [])
    wide, narrow = (try_setting(setting((16,), code, 0.0, 0.0), populations, left_out, plan) for code in (4, 1))
    assert wide.error < narrow.error - 0.1
    assert wide.reconstruction < narrow.reconstruction
    again = try_setting(setting((16,), 1, 0.0, 0.0), populations, left_out, plan)
    assert again == narrow, "a trial depends on its setting and the seed alone"


def test_the_default_is_tried_whatever_the_layers():
    tried = [setting(hidden, 3, 0.0, 0.0) for hidden in ((8, 6), (8,), ())]
    assert searched_plan(EditConfig(), tried) == DEFAULT


def test_a_plan_of_markers_alone_cannot_be_searched_for():
    with pytest.raises(
        ConfigError, match=r"^search: the edit's plan edits markers only, .* Choose another edit\.preset"
    ):
        searched_plan(EditConfig(preset="strata"), [])


def test_a_layer_that_some_network_lacks_is_told_before_any_trial():
    deep = EditConfig(steps=(EditStep(layer="encoder.2"),))
    tried = [setting((8, 6), 3, 0.0, 0.0), setting((8,), 3, 0.0, 0.0)]
    with pytest.raises(
        ConfigError, match=r"The autoencoder has no layer 'encoder\.2' \(layers: 'visible', 'encoder\.1'"
    ):
        searched_plan(deep, tried)


def test_events_too_few_to_leave_a_population_out_are_told(left_out):
    few = LeftOutEvents.from_events(PairEvents(kinds(60, 0), kinds(60, 1)), ZEROS, 21, 0)
    with pytest.raises(
        DataError, match=r"^search: of no edit \('B'\) can a population be left out .* at least 50 events"
    ):
        check_folds({"B": few})
    assert list(check_folds({"B": few, **left_out})) == ["pair"]


def trial(code: int, error: float, failure: str = "") -> SearchTrial:
    return SearchTrial(setting((8,), code), 100 * code, 0.1, {"B": error, "C": float("nan")}, failure)


def test_the_least_error_is_chosen():
    result = SearchResult((trial(2, 0.5), trial(4, 0.3), trial(8, 0.35)))
    assert result.best.setting.architecture.code == 4
    assert result.sentence == (
        "search: chose hidden 8, code 4, weight decay 0, noise 0 of 3 trials: error 0.300 on populations left out; "
        "the other trials have 0.350 to 0.500"
    )


def test_of_errors_that_are_alike_the_smaller_network_is_taken():
    result = SearchResult((trial(8, 0.300), trial(4, 0.314), trial(2, 0.316)))
    assert result.best.setting.architecture.code == 4
    assert result.sentence.endswith("0.300 to 0.316 (1 of them less, by at most 5%, in larger networks)")


def test_errors_at_the_noise_floor_are_alike():
    assert SearchResult((trial(8, -0.01), trial(4, 0.02), trial(2, 0.03))).best.setting.architecture.code == 4


def test_trials_that_failed_are_passed_over_and_stand_in_the_table():
    failed = SearchTrial(setting((8,), 9, 0.0, 0.0), 900, failure="Training diverged")
    result = SearchResult((failed, trial(4, 0.3)))
    assert result.best.setting.architecture.code == 4
    assert list(result.table()["failure"]) == ["Training diverged", ""]
    assert result.facts() == {
        "chosen": {"hidden": [8], "code": 4, "weight_decay": 0.0, "noise": 0.0},
        "error": 0.3,
        "trials": 2,
        "sentence": result.sentence,
    }
    with pytest.raises(ModelError, match=r"^search: all 1 trials failed\. Training diverged$"):
        SearchResult((failed,))


def test_an_effect_that_is_not_there_cannot_be_chosen_by():
    with pytest.raises(
        DataError, match=r"^search: no trial's error on populations left out is known: there source and"
    ):
        SearchResult((trial(4, float("nan")),))
