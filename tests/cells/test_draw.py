import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.stats import chi2, hypergeom

from neuronedit.cells.draw import Drawing, DrawnEvents, candidates, rank_error
from neuronedit.cells.events import row_priorities


def piece(start: int, stop: int, seed: int = 0) -> tuple[np.ndarray, DrawnEvents]:
    """Events of which each is its own row's number."""
    numbers = np.arange(start, stop)
    priorities = row_priorities("f", start, stop - start, seed)
    texts = numbers.astype(str).astype(object)
    return priorities, DrawnEvents(priorities, numbers[:, None].astype(np.float32), texts, texts)


def rows_of(events: DrawnEvents, rows: np.ndarray) -> DrawnEvents:
    return DrawnEvents(events.priorities[rows], events.intensities[rows], events.samples[rows], events.labels[rows])


def draw(bounds: list[tuple[int, int]], n_wanted: int, seed: int = 0) -> Drawing:
    drawing = Drawing(n_wanted)
    for start, stop in bounds:
        priorities, events = piece(start, stop, seed)
        rows = candidates(priorities, np.ones(stop - start, bool), drawing)
        drawing.add(rows_of(events, rows), stop - start)
    return drawing


def test_the_events_drawn_are_those_of_the_lowest_priorities() -> None:
    priorities, _ = piece(0, 5_000)
    drawn = draw([(start, start + 250) for start in range(0, 5_000, 250)], 300).drawn()
    assert_array_equal(drawn.intensities[:, 0], np.argsort(priorities)[:300])
    assert_array_equal(drawn.samples, np.argsort(priorities)[:300].astype(str))


def test_pieces_of_any_size_in_any_order_give_the_same() -> None:
    equal = [(start, start + 100) for start in range(0, 3_000, 100)]
    whole, forwards, backwards = draw([(0, 3_000)], 200), draw(equal, 200), draw(equal[::-1], 200)
    assert whole.n_seen == forwards.n_seen == backwards.n_seen == 3_000
    assert_array_equal(whole.drawn().intensities, forwards.drawn().intensities)
    assert_array_equal(whole.drawn().intensities, backwards.drawn().intensities)


def test_all_are_drawn_where_there_are_no_more_than_wanted() -> None:
    assert sorted(draw([(0, 60), (60, 100)], 100).drawn().intensities[:, 0]) == list(range(100))


def test_what_is_held_does_not_grow_with_what_was_seen() -> None:
    drawing = Drawing(50)
    for start in range(0, 20_000, 200):
        priorities, events = piece(start, start + 200)
        rows = candidates(priorities, np.ones(200, bool), drawing)
        assert len(rows) <= 50
        drawing.add(rows_of(events, rows), 200)
        assert sum(map(len, drawing._pieces)) < 100
    # Of the last pieces hardly an event can be drawn any more, and only such are taken.
    assert len(rows) < 5


def test_every_event_is_drawn_equally_often() -> None:
    # 100 of 1,000 events, by 400 seeds: a count is binomial with mean 40, its variance 36 shrunk by nothing,
    # because seeds are independent; the counts' sum is fixed, which leaves 999 degrees of freedom.
    times = np.zeros(1_000)
    for seed in range(400):
        times[draw([(0, 300), (300, 1_000)], 100, seed).drawn().intensities[:, 0].astype(int)] += 1
    assert times.sum() == 400 * 100
    statistic = ((times - 40) ** 2).sum() / 36
    assert chi2.ppf(0.0005, 999) < statistic < chi2.ppf(0.9995, 999)


def test_a_wider_first_piece_would_be_found_by_that_test() -> None:
    # The same test on a draw of 50 from either piece of unequal sizes, as a careless reader would make it.
    times = np.zeros(1_000)
    for seed in range(400):
        for start, stop in [(0, 300), (300, 1_000)]:
            times[draw([(start, stop)], 50, seed).drawn().intensities[:, 0].astype(int)] += 1
    assert ((times - 40) ** 2).sum() / 36 > chi2.ppf(0.9995, 999)


@pytest.mark.parametrize(("n_drawn", "n_events"), [(100, 1_000), (20_000, 1_203_422), (999, 1_000)])
def test_the_rank_error_is_the_hypergeometric_standard_deviation_at_the_median(n_drawn: int, n_events: int) -> None:
    below_median = hypergeom(n_events, n_events // 2, n_drawn)
    assert rank_error(n_drawn, n_events) == pytest.approx(below_median.std() / n_drawn, rel=1e-12)
    below_tenth = hypergeom(n_events, n_events // 10, n_drawn)
    assert below_tenth.std() / n_drawn < rank_error(n_drawn, n_events)


@pytest.mark.parametrize("n_events", [1, 100])
def test_all_events_have_no_rank_error(n_events: int) -> None:
    assert rank_error(n_events, n_events) == 0.0


def test_medians_of_samples_scatter_as_the_rank_error_says() -> None:
    drawn = [draw([(0, 1_000)], 400, seed).drawn().intensities[:, 0] for seed in range(500)]
    scatter = np.std([np.mean(numbers < 500) for numbers in drawn])
    # The standard deviation of 500 draws is known to 1/sqrt(1000): four of these either way.
    assert scatter == pytest.approx(rank_error(400, 1_000), rel=4 / np.sqrt(1_000))
