import numpy as np
import pytest
from neuronedit_jobs.benchmarks.review.planted import EDITED_NEURONS, N_NEURONS, planted_cells, planted_neurons

from neuronedit.review.neurons.conductance import edit_conductance
from neuronedit.review.part import Part
from neuronedit.review.populations.support import DISTANCE, ERROR, OUTSIDE, Coverage, coverage_part
from neuronedit.review.subject import EditSubject

WEIGHTS = np.isin(np.arange(N_NEURONS), EDITED_NEURONS) / len(EDITED_NEURONS)


@pytest.fixture(scope="module")
def subject() -> EditSubject:
    return planted_neurons(
        extrapolation={
            "new donors": planted_cells(2_000, 2, donor_gap=0.1),
            "unseen types": planted_cells(2_000, 3, unseen=True),
            "stretched": planted_cells(2_000, 4, stretch=2.5),
        }
    )


@pytest.fixture(scope="module")
def part(subject) -> Part:
    return coverage_part(subject, edit_conductance(subject).share)


@pytest.fixture(scope="module")
def table(part):
    return part.tables["support"].set_index("population")


def test_the_source_is_the_measure_of_itself(table):
    assert table.at["source", OUTSIDE] == pytest.approx(0.02, abs=0.001)
    assert table.at["source", "unsupported"] == pytest.approx(0.01, abs=0.002)
    assert (table.loc["source", ["outside_ratio", "error_ratio"]] == 1).all()
    assert table.at["source", "error_auroc"] == pytest.approx(0.5)


def test_neurons_count_by_their_weights():
    coverage = Coverage.from_source(
        np.linspace(0, 1, 101, dtype=np.float32)[:, None].repeat(2, axis=1), np.array([3.0, 1.0])
    )
    events = np.array([[0.5, 0.5], [2, 0.5], [0.5, -1], [2, -1]], dtype=np.float32)
    np.testing.assert_allclose(coverage.outside(events), [0, 0.75, 0.25, 1])


def test_all_three_scores_are_shown_and_said(part, table):
    assert part.scalars["support_outside"] == table.loc["new donors":, OUTSIDE].max()
    assert part.reading.startswith("Least like the source is unseen types: ")
    ratio = table.at["stretched", "outside_ratio"]
    assert f"stretched: range {ratio:.1f} and reconstruction 1.0 times the source's" in part.warning
    assert [drawing.name for drawing in part.drawings] == [f"support_{name}" for name in (OUTSIDE, DISTANCE, ERROR)]
    shares = part.tables["support_histograms"].groupby(["score", "population"])["share"].sum()
    np.testing.assert_allclose(shares, 1)
    for drawing in part.drawings:
        drawing.draw()


def test_without_events_to_apply_it_to_the_part_says_so():
    part = coverage_part(planted_neurons(300), WEIGHTS)
    assert part.reading.startswith("No events were named")
    assert not part.scalars
    assert not part.drawings
