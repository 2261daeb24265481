"""Says where the tests of this folder run, where they do not."""

import pytest


def test_anndata_is_tested_in_an_environment_of_its_own():
    found = pytest.importorskip("anndata", reason="anndata is not installed here: make test-anndata")
    assert found.__version__ >= "0.12"
