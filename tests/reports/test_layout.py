import pytest

from reports.layout import ANYWHERE, VENUES, Layout, layout
from suite.errors import UserError


def test_venues_widths_and_neither():
    assert layout() == ANYWHERE
    assert layout("NeurIPS") == VENUES["neurips"]
    assert layout("icml", serif=True) == VENUES["icml"]._replace(serif=True)
    assert layout(width=5.5) == Layout(5.5, 5.5)
    assert [layout(name).has_columns for name in ("neurips", "icml", "jmlr")] == [False, True, False]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"venue": "nips"}, "did you mean neurips"),
        ({"venue": "icml", "width": 3.0}, "give one of them"),
        ({"width": 0.5}, "between 2.5 and 12"),
        ({"width": float("nan")}, "between 2.5 and 12"),
    ],
)
def test_users_mistakes(given, words):
    with pytest.raises(UserError, match=words):
        layout(**given)
