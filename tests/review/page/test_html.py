import base64
import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from neuronedit.review.page.html import PAGE, render_page, review_tables, write_review
from neuronedit.review.page.report import LOSS_COLUMNS, Review
from tests.review.planted import TRUE_SHIFT
from tests.review.references import References, check_self_contained


@pytest.fixture(scope="module")
def review(review_of: Callable[..., Review]) -> Review:
    return review_of(TRUE_SHIFT)


@pytest.fixture(scope="module")
def page(review: Review) -> str:
    return render_page(review)


def test_the_page_needs_nothing_else(page: str) -> None:
    check_self_contained(page)


def test_every_link_within_the_page_has_its_place(page: str) -> None:
    places = {reference[1:] for reference in References(page).references if reference.startswith("#")}
    assert places <= set(re.findall(r'id="([^"]+)"', page))


def test_every_figure_says_what_it_is_and_what_it_shows(page: str) -> None:
    found = References(page)
    assert len(found.images) == 1 + 2 * 3 + 1
    assert all(image["alt"] for image in found.images)
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page)
    assert len(captions) == len(found.images)
    assert all(caption.endswith(".") for caption in captions)


def test_the_downloaded_tables_are_those_shown(page: str, review: Review) -> None:
    downloads = References(page).downloads
    assert sorted(downloads) == [
        "losses.csv",
        "markers_1.csv",
        "markers_2.csv",
        "methods_1.csv",
        "methods_2.csv",
        "reconstruction.csv",
        "summary.csv",
    ]
    content = base64.b64decode(downloads["markers_2.csv"].partition("base64,")[2]).decode()
    held_out = review.markers[review.markers["kind"] == "held out"].reset_index(drop=True)
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(content)), held_out)
    for score in held_out["after"]:
        assert f"{score:.3f}" in page


def test_the_first_screen_says_the_verdict(page: str, review: Review) -> None:
    text = References(page.partition("<nav")[0]).text
    assert review.verdict() in text
    assert all(verdict.sentence in text for verdict in review.verdicts)


@pytest.fixture(scope="module")
def bad_page(review_of: Callable[..., Review]) -> str:
    return render_page(replace(review_of(-TRUE_SHIFT), losses=pd.DataFrame(columns=LOSS_COLUMNS)))


def test_the_page_of_a_bad_edit_says_that_it_is_worse(bad_page: str) -> None:
    text = References(bad_page).text
    assert "▼ worse than doing nothing" in text
    assert "made worse: " in text
    assert "▲" not in text


def test_a_model_without_known_losses_has_a_page(bad_page: str) -> None:
    assert "The training run's losses were not found." in bad_page
    assert "losses.csv" not in bad_page


def test_names_are_escaped(page: str) -> None:
    assert "<b>&CD56" not in page
    assert "&lt;b&gt;&amp;CD56" in page
    assert "donor &lt;2&gt;" in page


def test_the_same_review_gives_the_same_page(page: str, review: Review) -> None:
    assert render_page(review) == page


def test_the_folder_holds_page_tables_and_figures(review: Review, tmp_path: Path) -> None:
    write_review(review, tmp_path)
    drawn = [f"{i}_{name}.png" for i in (1, 2) for name in ("densities", "markers", "methods", "overview")]
    tables = [f"{name}.csv" for name in review_tables(review)]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([PAGE, *drawn, "losses.png", *tables])
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "methods.csv"), review.methods)
