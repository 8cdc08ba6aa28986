"""Tables on screens of any width: no word is broken, and columns that have no room are named."""

import pytest
from rich.console import Console

from suite.cli import output

COLUMNS = ("variant", "split", "seed", "run", "state", "reason")
ROWS = [
    (
        "mier-without-relabeling",
        "cheetah-velocity.medium-with-a-long-name",
        0,
        "0123456789ab",
        "failed",
        "out of memory",
    ),
    ("pearl", "ant-direction.ood", 11, "ba9876543210", "done", ""),
]


def printed(capsys, monkeypatch, width, least=()):
    monkeypatch.setattr(output, "console", lambda: Console(width=width))
    output.print_table("", COLUMNS, ROWS, least)
    return capsys.readouterr().out


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 160])
def test_no_name_or_hash_is_broken(capsys, monkeypatch, width):
    text = printed(capsys, monkeypatch, width)
    words = set(text.replace("(", " ").replace(")", " ").replace(",", " ").split())
    known = {word for row in [COLUMNS, *ROWS] for cell in row for word in str(cell).split()} | {"no", "room", "for:"}
    if width >= 23:  # where even the first column has room
        assert words <= known
        assert "mier-without-relabeling" in words
    assert all(name in text for name in COLUMNS)  # shown, or said to be left out
    assert ("no room for" in text) == (width < 101)


def test_what_matters_least_goes_first(capsys, monkeypatch):
    text = printed(capsys, monkeypatch, 95, least=("run", "seed"))
    assert text.splitlines()[-1] == "(no room for: run)"
    assert "out of" in text
    assert "0123456789ab" not in text


def test_columns_that_fit():
    widths = {"a": 10, "b": 10, "c": 10}
    assert output.fitting(widths, 34) == ["a", "b", "c"]
    assert output.fitting(widths, 33) == ["a", "b"]
    assert output.fitting(widths, 33, least=("b", "unknown")) == ["a", "c"]
    assert output.fitting(widths, 5) == ["a"]


@pytest.mark.parametrize("width", [79, 80, 81, 90, 120])
def test_prose_is_wrapped_in_the_room_that_is_left_and_none_of_it_is_lost(capsys, monkeypatch, width):
    cells = ("mier-lr1-latent1-horizon1", "cheetah-velocity.hard", "test_id", "v18")
    prose = "no difference shown: -108.4 [-226.0, 9.2], n = 2"
    monkeypatch.setattr(output, "console", lambda: Console(width=width))
    output.print_table("", ("variant", "split", "task_list", "folder", "text"), [(*cells, prose)])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    assert [word for line in lines[1:] for word in line.split()] == [*cells, *prose.split()]


def test_the_widest_columns_yield_first():
    natural, least = {"a": 10, "b": 30, "c": 20}, {"a": 10, "b": 5, "c": 18}
    assert output.squeezed(natural, least, 64) == natural
    assert output.squeezed(natural, least, 54) == {"a": 10, "b": 20, "c": 20}
    assert output.squeezed(natural, least, 44) == {"a": 10, "b": 12, "c": 18}
    assert output.squeezed(natural, least, 10) == least


@pytest.mark.parametrize("width", [60, 80, 100, 160])
@pytest.mark.parametrize("long", [output.LONG, 240], ids=["plain", "coloured"])
def test_the_table_of_a_whole_paper_fits_and_breaks_no_name_or_hash(capsys, monkeypatch, width, long):
    monkeypatch.setattr(output, "LONG", long)
    rows = [
        (f"mier-without-relabeling-{v}", f"ant-direction.ood-{s}", seed, f"0123456789a{seed}", "done", 500_000 + seed)
        for v in range(8) for s in range(6) for seed in range(5)
    ]  # fmt: skip
    columns = ("variant", "split", "seed", "run", "state", "env steps", "reason")
    reasons = ["", "out of memory in /a/very/long/path/to/the/folder/of/the/worker.log of the node", *[""] * 238]
    monkeypatch.setattr(output, "console", lambda: Console(width=width))
    output.print_table("", columns, [(*row, why) for row, why in zip(rows, reasons)], ("env steps", "run"))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    listed = [line.split() for line in lines if "mier" in line]
    assert [words[:2] for words in listed] == [list(row[:2]) for row in rows]
    hashes = [row[3] for row in rows]
    assert [word for words in listed for word in words if word in hashes] == (hashes if width > 100 else [])
