"""The tutorial of AnnData and scanpy, in the environment that has them."""

from tests import test_tutorials


def test_the_tutorial_shows_what_is_recorded(tmp_path, monkeypatch):
    test_tutorials.test_a_tutorial_shows_what_is_recorded("anndata_and_scanpy", lambda _: tmp_path, monkeypatch)
