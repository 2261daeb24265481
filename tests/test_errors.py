import pytest

from neuronedit import errors
from neuronedit.errors import NeuroneditError, listing, nearest_name


def test_every_error_has_the_one_base():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert NeuroneditError in kinds
    assert len(kinds) > 1
    assert all(issubclass(kind, NeuroneditError) for kind in kinds)


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("CD45", ["CD3", "CD45RA"], "; nearest name 'CD45RA'"),
        ("cd3", ["CD3"], "; nearest name 'CD3'"),
        ("CD3", ["xyz"], ""),
        ("CD3", [], ""),
    ],
)
def test_the_nearest_name_ignores_case_and_may_be_none(name, known, expected):
    assert nearest_name(name, known) == expected


def test_a_long_listing_counts_what_it_leaves_out():
    assert listing(["a", "b", "c"], limit=2) == "'a', 'b' and 1 more"
    assert listing(["a", "b"], limit=2) == "'a', 'b'"
    assert listing([]) == ""
