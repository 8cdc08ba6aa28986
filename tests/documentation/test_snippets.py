"""What the pages tell a reader to type works, and prints what they say."""

import pytest
from snippets import ROOT, RUNS, SLOW, Session, blocks, pages

PAGES = {str(path.relative_to(ROOT)): path for path in pages()}
RUNNING = {
    name: path for name, path in PAGES.items()
    if any(block.language in RUNS and not block.why and not block.title for block in blocks(path.read_text()))
}  # fmt: skip
MOST_NOT_RUN = 3
"""Blocks in all of the documentation that are shown and not run."""


def marked(name):
    return pytest.param(name, marks=[pytest.mark.slow] if SLOW in PAGES[name].read_text() else [])


@pytest.mark.parametrize("name", [marked(name) for name in RUNNING])
def test_the_blocks_of_a_page_run_and_print_what_it_says(tmp_path, name):
    with Session(tmp_path) as session:
        assert session.run(PAGES[name].read_text(), name) > 0


def test_few_blocks_are_not_run_and_each_says_why():
    not_run = [
        (name, block.line) for name, path in PAGES.items() for block in blocks(path.read_text())
        if block.why and block.language in RUNS
    ]  # fmt: skip
    assert len(not_run) <= MOST_NOT_RUN, not_run
    assert len(RUNNING) > 10


@pytest.mark.parametrize(("page", "says"), [
    ("```python\nraise ValueError('no')\n```\n", "ValueError: no"),
    ("```sh\nfalse\n```\n", "exit code 1"),
    ("```python\nprint(1)\n```\n\n```text\n2\n```\n", "this was printed:\n1"),
    ("```diff\n--- a/none\n+++ b/none\n@@ -1 +1 @@\n-a\n+b\n```\n", "exit code"),
])  # fmt: skip
def test_a_block_that_fails_or_prints_something_else_is_told(tmp_path, page, says):
    with Session(tmp_path) as session, pytest.raises(AssertionError, match=r"page, line [15]:") as told:
        session.run(page, "page")
    assert says in str(told.value)


def test_blocks_share_names_files_and_the_folder(tmp_path):
    page = (
        '```yaml title="a.yaml"\nx: 1\n```\n```sh\nmkdir sub\nmv a.yaml sub\ncd sub\n```\n'
        '```python\ny = open("a.yaml").read()\n```\n'
        "```python\nprint(y)\n```\n```text\nx: ...\n```\n<!-- not run: it fails -->\n```sh\nfalse\n```\n"
    )
    with Session(tmp_path) as session:
        assert session.run(page, "page") == 3
