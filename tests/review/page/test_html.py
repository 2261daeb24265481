import base64
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from neuronedit.review.page.html import (
    NEURONS_PAGE,
    PAGE,
    render_neurons,
    render_page,
    review_tables,
    write_decision,
    write_neurons,
)
from neuronedit.review.page.report import LOSS_COLUMNS, Review
from tests.review.planted import TRUE_SHIFT
from tests.review.references import References, check_self_contained


@pytest.fixture(scope="module")
def review(review_of: Callable[..., Review]) -> Review:
    return review_of(TRUE_SHIFT)


@pytest.fixture(scope="module")
def page(review: Review) -> str:
    return render_page(review)


@pytest.fixture(scope="module")
def neurons(review: Review) -> str:
    return render_neurons(review)


@pytest.mark.parametrize("which", ["page", "neurons"])
def test_the_pages_need_nothing_else(which: str, request: pytest.FixtureRequest) -> None:
    check_self_contained(request.getfixturevalue(which), beside=(PAGE, NEURONS_PAGE))


@pytest.mark.parametrize("which", ["page", "neurons"])
def test_every_link_within_a_page_has_its_place(which: str, request: pytest.FixtureRequest) -> None:
    page = request.getfixturevalue(which)
    places = {reference[1:] for reference in References(page).references if reference.startswith("#")}
    assert places
    assert places <= set(re.findall(r'id="([^"]+)"', page))


def test_every_figure_says_in_words_what_it_shows(page: str, neurons: str) -> None:
    first, expert = References(page).images, References(neurons).images
    assert len(expert) == 2 * 3 + 1
    assert len(first) > 3
    for image in (*first, *expert):
        what, _, finding = image["alt"].partition(". ")
        assert what
        assert finding.endswith("."), image["alt"]


def test_every_columns_head_says_that_it_is_one(page: str, neurons: str) -> None:
    for text in (page, neurons):
        assert text.count("<th ") == text.count('<th scope="col"') > 0
        assert "<th>" not in text


def test_the_downloaded_tables_are_those_shown(page: str, neurons: str, review: Review) -> None:
    first, expert = References(page).downloads, References(neurons).downloads
    assert {"gates.csv", "markers.csv", "methods.csv", "summary.csv"} <= set(first)
    assert sorted(expert) == ["losses.csv", "reconstruction.csv"]
    assert {f"{name}.csv" for name in review_tables(review)} >= set(first) - {"gates.csv"}
    content = base64.b64decode(first["markers.csv"].partition("base64,")[2]).decode()
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(content)), review.markers)
    for score in review.markers.query("kind == 'held out'")["after"]:
        assert f"{score:.3f}" in page


def test_the_first_screen_says_the_decision_its_checks_and_the_worst_comparison_first(
    page: str, review: Review
) -> None:
    text = References(page.partition("<nav")[0]).text
    assert review.decision.headline in text
    assert review.decision.why in text
    assert text.index("donor <2>") < text.index("the pair")
    assert all(sentence in text for sentence in review.restrictions)


def test_the_histograms_that_a_reader_picks_are_those_of_the_tables(page: str, review: Review) -> None:
    data = json.loads(re.search(r'id="histograms">(.*?)</script>', page).group(1))
    assert list(data) == ["donor <2>", "the pair"]  # the one that decides first
    rows = review.densities.query("comparison == 'donor <2>' and marker == 'CD3'")
    drawn = data["donor <2>"]["all cells"]["CD3"]
    for stage, shares in zip(("before", "edited", "truth"), drawn["shares"], strict=True):
        assert shares == (rows[stage] * 10_000).round().astype(int).tolist()
    emds = review.markers.query("comparison == 'donor <2>' and marker == 'CD3'")[["before", "after"]]
    assert drawn["emd"] == emds.round(3).to_numpy().ravel().tolist()


@pytest.fixture(scope="module")
def bad_review(review_of: Callable[..., Review]) -> Review:
    return replace(review_of(-TRUE_SHIFT), losses=pd.DataFrame(columns=LOSS_COLUMNS))


def test_the_page_of_a_bad_edit_says_that_it_is_worse(bad_review: Review) -> None:
    text = References(render_page(bad_review)).text
    assert "worse than doing nothing" in text
    assert "leads away from the truth: " in text
    assert "▲" not in text


def test_a_model_without_known_losses_has_a_page(bad_review: Review) -> None:
    page = render_neurons(bad_review)
    assert "The training run's losses were not found." in page
    assert "losses.csv" not in page


def test_names_are_escaped(page: str) -> None:
    assert "<b>&CD56" not in page
    assert "&lt;b&gt;&amp;CD56" in page
    assert "donor &lt;2&gt;" in page


def test_the_same_review_gives_the_same_pages(page: str, neurons: str, review: Review) -> None:
    assert (render_page(review), render_neurons(review)) == (page, neurons)


def test_the_folder_holds_pages_tables_and_figures(review: Review, tmp_path: Path) -> None:
    write_decision(review, tmp_path)
    tables = [f"{name}.csv" for name in review_tables(review)]
    views = [f"cells_{drawing.name}.svg" for part in review.parts for drawing in part.drawings]
    first = {PAGE, "1_overview.png", *views, *tables}
    assert {path.name for path in tmp_path.iterdir()} == first
    write_neurons(review, tmp_path)
    drawn = {f"{i}_{name}" for i in (1, 2) for name in ("densities.png", "markers.svg", "methods.svg")}
    assert {path.name for path in tmp_path.iterdir()} == first | drawn | {NEURONS_PAGE, "2_overview.png", "losses.svg"}
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "methods.csv"), review.methods)
