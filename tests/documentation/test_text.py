"""Docstrings and declared things become the Markdown that a page needs."""

import importlib.util
from pathlib import Path

import pytest

PLACE = Path(__file__).parents[2] / "docs" / "site" / "text.py"


@pytest.fixture(scope="module")
def text():
    spec = importlib.util.spec_from_file_location("site_text", PLACE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_formula_of_a_docstring_is_a_block_whether_set_off_or_not(text):
    page = text.as_page("An idea:\n\n    y = x\n\nand so on\n    z = y\nto the end.")
    fence = "``` { .text .formula }"
    assert page == f"An idea:\n\n{fence}\ny = x\n```\n\n\nand so on\n\n{fence}\nz = y\n```\n\n\nto the end.\n"


def test_deviations_come_under_a_heading_and_lists_are_set_off(text):
    page = text.as_page("Idea.\n\nWhere this leaves the code:\n- one\n- two", "Other")
    assert page == "Idea.\n\n## Other\n\nWhere this leaves the code:\n\n- one\n- two\n"


def test_a_cell_is_one_line_and_its_bars_end_no_column(text):
    assert text.table(("a", "b"), [("x |\ny", None)]) == "| a | b |\n| --- | --- |\n| x \\| y |  |\n"


def test_a_list_with_indented_lines_stays_a_list(text):
    assert text.as_page("- one\n  more\n- two") == "- one\n  more\n- two\n"
