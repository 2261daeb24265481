import numpy as np
import pandas as pd
import pytest

from neuronedit.cells.arms import Arm, ArmChoice, Experiment
from neuronedit.cells.panel import Panel
from neuronedit.errors import DataError
from tests.two_drugs import COFACTOR, MARKERS, arm

WHERE = {"control": {"drug": "none"}, "a": {"drug": "A"}, "b": {"drug": ["B", "B2"]}}
EVENTS = pd.DataFrame({"drug": ["none", "A", "B2", "C"], "well": ["w1", "w2", "w1", None]})


def test_events_are_assigned_to_arms() -> None:
    choice = ArmChoice(WHERE)
    assert choice.columns == ("drug",)
    assert list(choice.assign(EVENTS, "f")) == ["control", "a", "b", ""]


def test_with_a_sample_column_each_sample_is_a_population() -> None:
    choice = ArmChoice(WHERE, "well")
    assert choice.columns == ("drug", "well")
    assert list(choice.assign(EVENTS, "f")) == ["control w1", "a w2", "b w1", ""]
    assert choice.assign(EVENTS.assign(well=[1, 2, 3, 4]), "f")[0] == "control 1"


def test_an_event_of_two_arms_is_told() -> None:
    choice = ArmChoice({**WHERE, "both": {"drug": ["A"]}})
    with pytest.raises(
        DataError,
        match=r"^f: 1 events are in the arms 'a' and 'both' at once \(drug = A\); expected each in one\. Choo",
    ):
        choice.assign(EVENTS, "f")


def test_an_event_without_a_sample_is_told() -> None:
    with pytest.raises(
        DataError, match=r"^f: 1 events of the arms have no value in 'well'; expected the replicate sample .* Fill the"
    ):
        ArmChoice(WHERE, "well").assign(EVENTS.assign(well=["w1", None, "w1", None]), "f")


@pytest.mark.parametrize(("n_events", "found"), [(0, "no"), (49, "49")])
def test_too_few_events_are_told(n_events: int, found: str) -> None:
    with pytest.raises(
        DataError,
        match=rf"^both: found {found} events; expected at least 50 to compare the arms\. Correct the column values",
    ):
        Arm("both", np.zeros((n_events, 2), dtype=np.float32))


def test_one_sample_does_not_show_how_much_samples_scatter() -> None:
    with pytest.raises(
        DataError, match=r"^a: found 1 replicate sample; expected at least 2 .* Add replicates, or leave sample_column"
    ):
        Arm("a", np.zeros((60, 2), dtype=np.float32), np.zeros(60, dtype=int))


def test_samples_in_some_arms_only_are_told() -> None:
    panel = Panel(MARKERS, (COFACTOR,) * 4)
    with pytest.raises(
        DataError, match=r"^Replicate samples are told apart in control only; expected in all of 3 arms, or in none\."
    ):
        Experiment(panel, arm("control", 0, 60, 1, n_samples=2), arm("a", 1, 60, 2), arm("b", 1, 60, 3))


def test_intensities_that_are_not_finite_are_told() -> None:
    events = arm("a", 0, 60, 1)
    events.intensities[5, 2] = np.nan
    with pytest.raises(DataError, match=r"^a: marker 'CD25' has NaN in row 5 "):
        Experiment(Panel(MARKERS, (COFACTOR,) * 4), arm("control", 0, 60, 1), events, arm("b", 1, 60, 3))
