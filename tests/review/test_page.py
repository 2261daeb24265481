import re
from pathlib import Path

import pandas as pd
import pytest

from neuronedit.model import EditModel
from neuronedit.review.page import render_page, tables, write_review
from neuronedit.review.report import Identity, Review, review_model
from neuronedit.review.transfer import Comparison
from tests.known_cells import intensities

LOSSES = pd.DataFrame({"epoch": [1, 2], "train_loss": [0.5, 0.2], "validation_loss": [0.6, 0.3]})


@pytest.fixture(scope="module")
def review(model: EditModel) -> Review:
    sides = intensities(400, 2, 0.6), intensities(400, 1)
    comparisons = [
        Comparison("b1 → <ref>", "training-pair", "b1", *sides, *sides),
        Comparison("b1 → <ref>", "held-out", "b1", *sides, intensities(300, 20, 0.6), intensities(300, 21)),
    ]
    populations = {"control b1": sides[0], "control ref": sides[1]}
    return review_model(model, Identity("models:/test/1", "ab" * 32, "cells"), comparisons, populations, LOSSES)


@pytest.fixture(scope="module")
def page(review: Review) -> str:
    return render_page(review)


def test_the_page_loads_nothing_from_elsewhere(page: str) -> None:
    references = re.findall(r"""(?:src|href)\s*=\s*["']([^"']{1,40})""", page) + re.findall(r"url\(([^)]*)\)", page)
    assert references
    assert all(reference.startswith("data:") for reference in references)
    assert "<script" not in page


def test_the_page_says_what_was_reviewed_and_the_verdict(page: str, review: Review) -> None:
    for text in (
        "models:/test/1",
        "ab" * 32,
        review.verdict(),
        "code: linear, residual; then visible: linear, residual",
    ):
        assert text in page


def test_names_are_escaped(page: str) -> None:
    assert "b1 → &lt;ref&gt;" in page
    assert "<ref>" not in page


def test_every_figure_has_a_reading_and_every_table_a_download(page: str, review: Review) -> None:
    assert page.count("<figure>") == page.count("<figcaption>") == 2 + 2 * len(review.transfers)
    assert page.count('download="') == len(tables(review))


def test_without_held_out_samples_the_page_says_so(model: EditModel, review: Review) -> None:
    training = [transfer.comparison for transfer in review.transfers if transfer.comparison.kind == "training-pair"]
    alone = review_model(model, review.identity, training, {"x": training[0].source}, LOSSES.head(0))
    assert "No held-out samples were given." in render_page(alone)
    assert alone.verdict().startswith("On 1 training-pair comparison")


def test_the_review_is_a_page_its_tables_and_a_picture(review: Review, tmp_path: Path) -> None:
    write_review(review, tmp_path)
    names = ["losses.csv", "markers.csv", "methods.csv", "overview.png", "reconstruction.csv", "review.html"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert (tmp_path / "review.html").stat().st_size < 5e6
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "methods.csv"), review.methods)
