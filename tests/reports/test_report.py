import re
import shutil
from html.parser import HTMLParser

import pytest

from reports.figures import canvas, sheets
from reports.figures.catalogue import FIGURES
from reports.numbers.tables import TABLES
from reports.page import page
from reports.reading.load import load
from reports.report import write

FLOATS = ("main-test", "main-test_id", "gap-test_id_-_test", "score-test", "aggregates-IQM", "aggregates-mean",
          "aggregates-median", "aggregates-optimality_gap", "improvement-cheetah-velocity.hard")  # fmt: skip
"""What the rich folder has numbers for."""


class Page(HTMLParser):
    """What a reader's machine sees: tags in order, attributes, text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def built(rich, tmp_path_factory, build):
    return build(rich, tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="module")
def parsed(built):
    return Page(built.read_text())


DRAWN = [kind for kind in FIGURES if kind.name != "factors"]
WRITTEN = [name for name in TABLES if name != "factors"]
"""All but what is of sweeps alone."""


def test_every_figure_comes_with_its_files_and_numbers(built, synthetic):
    names = {path.name for path in (built.parent / "figures").iterdir()}
    sheets = {f"{kind.name}.{ending}" for kind in DRAWN for ending in ("png", "pdf")}
    assert names == sheets | {f"{kind.name}_{synthetic.SPLIT}.csv" for kind in DRAWN}
    assert {path.name for path in (built.parent / "tables").iterdir()} == {
        *(f"{name}.{ending}" for name in WRITTEN for ending in ("csv", "md")),
        *(f"{name}.tex" for name in FLOATS), "protocol.tex", "references.bib",
        *(f"{name}.{ending}" for name in ("seeds", "runs", "gate", "verdicts", "variants") for ending in ("csv", "md")),
    }  # fmt: skip
    assert all(f'href="tables/{name}.tex"' in built.read_text() for name in FLOATS if not name.startswith("gap"))


def test_the_page_is_one_file(parsed):
    tags = parsed.tags
    assert [attributes for tag, attributes in tags if tag in ("script", "iframe")] == [{}]
    assert [attributes for tag, attributes in tags if tag == "link"] == [{"rel": "icon", "href": "data:,"}]
    for _, attributes in tags:
        assert "src" not in attributes
        if "href" in attributes:
            assert not attributes["href"].startswith(("http", "//"))


def test_every_link_leads_somewhere(built, parsed):
    anchors = {attributes["id"] for _, attributes in parsed.tags if "id" in attributes}
    targets = [attributes["href"] for tag, attributes in parsed.tags if tag == "a"]
    assert len(targets) > 50
    for target in targets:
        assert target[1:] in anchors if target.startswith("#") else (built.parent / target).exists(), target


def test_headings_are_in_order_and_every_picture_has_words(parsed):
    levels = [int(tag[1]) for tag, _ in parsed.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:]))
    pictures = [attributes["aria-label"] for tag, attributes in parsed.tags if attributes.get("role") == "img"]
    assert len(pictures) == len(DRAWN) + 1  # the one that answers the question stands on top too
    for words in pictures:
        assert re.search(r"\d", words)
        assert "MIER" in words or words.startswith("Tasks of ")


def test_the_page_says_what_is_missing_and_where_it_comes_from(parsed):
    text = " ".join(" ".join(parsed.words).split())
    assert "not supported: rewards vary: it plans with known ones" in text
    assert "seed 2 failed: out of memory" in text
    assert "protocol pppppppppppp" in text
    assert "ssssssssssss" in text
    assert "0123456789" in text
    assert "offmap run experiment.yaml" in text
    assert "evaluation_episodes" in text


def test_every_panel_says_its_seeds_and_how_its_intervals_are_made(parsed):
    text = " ".join(" ".join(parsed.words).split())
    words = text.split("All panels:")[:-1]
    assert len(words) == len(DRAWN)
    # All but the picture of the split, whose tasks have no seeds; nor has the gate, a mark per task, any interval.
    assert sum(bool(re.search(r"n = [\d to]+ seeds", part[-300:])) for part in words) == len(DRAWN) - 1
    assert (
        sum("95% intervals: Student's t over seeds" in part[-300:] for part in words) == len(DRAWN) - 6
    )  # others have other methods


def test_the_number_of_seeds_is_in_the_picture_itself(golden, synthetic, tmp_path, monkeypatch):
    sheet, made = canvas.sheet, []
    monkeypatch.setattr(canvas, "sheet", lambda *given: made.append(sheet(*given)) or made[-1])
    (kind,) = (kind for kind in FIGURES if kind.name == "per_task")
    sheets.draw(load(golden), [kind], tmp_path)
    assert [ax.get_title(loc="left") for ax in made[0].axes] == [f"{synthetic.SPLIT}\nn = 3 seeds"]


def test_the_table_of_a_split_holds_the_variants_that_were_declared_on_it(golden, synthetic):
    synthetic.simple_run(golden, "pearl", 0, test=[[1.0]], split="cheetah-velocity.standard")
    results = load(golden)
    tables = {split: page._split(results, split)["table"].body for split in set(results.cells["split"])}
    assert {split: [row[0].text for row in body] for split, body in tables.items()} == {
        synthetic.SPLIT: ["MIER"], "cheetah-velocity.standard": ["PEARL"],
    }  # fmt: skip


def test_the_same_records_give_the_same_bytes_wherever_they_lie(rich, built, tmp_path, build):
    shutil.copytree(rich, tmp_path / rich.name)
    first, second = built.parent, build(tmp_path / rich.name, tmp_path / "out").parent
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(second) for path in second.rglob("*") if path.is_file())
    assert len(files) == 1 + 3 * len(DRAWN) + 2 * len(WRITTEN) + 2 * 5 + len(FLOATS) + 2
    for path in files:
        assert (first / path).read_bytes() == (second / path).read_bytes(), path


def test_hostile_names_are_text(tmp_path, synthetic, build):
    variant, split = "<script>alert('x')</script>$\\frac", 'a"b & <b>.$x'
    synthetic.simple_run(tmp_path, variant, 0, test=[[1.0], [2.0]], test_id=[[1.0]], before=[[0.0]], split=split)
    text = build(tmp_path).read_text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;" in text
    parsed = Page(text)
    assert [tag for tag, _ in parsed.tags].count("script") == 1
    assert any(variant in attributes.get("aria-label", "") for _, attributes in parsed.tags)
    files = [path.name for path in (tmp_path / "report" / "figures").iterdir()]
    assert len(files) > 10
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in files)


def test_building_again_replaces_what_is_gone_and_keeps_foreign_files(golden, one_figure, build):
    folder = build(golden).parent
    (folder / "figures" / "old.png").write_bytes(b"")
    (folder / "figures" / "notes.txt").write_text("mine")
    build(golden)
    assert not (folder / "figures" / "old.png").exists()
    assert (folder / "figures" / "notes.txt").exists()


def test_a_grid_without_results_still_makes_a_page(tmp_path, synthetic, build):
    synthetic.write_cells(tmp_path, [("mier", synthetic.SPLIT, 0, None, "failed", "killed by the scheduler")])
    text = build(tmp_path).read_text()
    assert "killed by the scheduler" in text
    assert 'role="img"' not in text
    assert f"Adaptation on the test tasks, {synthetic.SPLIT}: needs results on test." in text


def test_records_that_say_little_make_a_page_with_dashes(tmp_path, synthetic, one_figure, build):
    bare = {"run": "bare", "training": "t", "seed": 0}
    synthetic.write_run(tmp_path, [{"return": 1.0}], bare)
    assert "–" in build(tmp_path).read_text()


def test_broken_files_are_on_the_page(golden, one_figure, build):
    (golden / "x").mkdir()
    (golden / "x" / "records.parquet").write_bytes(b"broken")
    assert "x/records.parquet" in build(golden).read_text()


def test_typeset():
    assert page.typeset("-4.5 [-9.0, -1.5], n = 3") == "−4.5 [−9.0,\u00a0−1.5], n\u00a0=\u00a03"
    assert page.typeset("mier-2 a-1 cheetah-velocity") == "mier-2 a-1 cheetah-velocity"


def test_nothing_here_needs_torch_or_a_simulator():
    import subprocess
    import sys

    # gymnasium itself simulates nothing: `tasks` tells it of the environments without importing one.
    needed = "{'torch', 'mujoco', 'tasks.environments.simulation'} & set(sys.modules)"
    code = f"import reports.cli, reports.report, sys; print({needed})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_loading_twice_gives_the_same_results(rich):
    assert load(rich).records.equals(load(rich).records)


def test_several_processes_draw_the_same_figures(tmp_path, synthetic, monkeypatch):
    splits = ("cheetah-velocity.hard", "cheetah-velocity.medium", "ant-direction.ood")
    synthetic.rich_folder(tmp_path / "rich", variants=("pearl",), seeds=(0,), splits=splits, num_tasks=2)
    results = load(tmp_path / "rich")
    monkeypatch.setattr("reports.report.FIGURES", FIGURES[:3])
    one, two = (write(results, tmp_path / str(workers), workers) for workers in (1, 2))
    names = sorted(path.relative_to(one.parent) for path in one.parent.rglob("*") if path.is_file())
    assert len(names) > 3 * 2
    for name in names:
        assert (one.parent / name).read_bytes() == (two.parent / name).read_bytes(), name
