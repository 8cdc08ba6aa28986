"""Declared experiments and pictures of bodies stand on the page; what is none of them is named and left out."""

import base64
import io
import json
import re
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from reports.page import sections
from reports.reading.attachments import read_pictures
from reports.reading.load import load
from suite.experiment.declaration import Experiment
from suite.experiment.overrides import parse_yaml
from suite.results.reference import reference_tables

TINY = {"name": "tiny", "splits": ["point-goal.ood"], "algorithms": ["pearl"], "seeds": [0], "budget": "smoke"}


def declare(folder, **given):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "experiment.json").write_text(json.dumps({"name": "tiny", "experiment": TINY | given}))


def reasons(folder):
    return {problem.where: problem.why for problem in load(folder).problems}


@pytest.mark.parametrize("folder", reference_tables().values(), ids=lambda path: path.name)
def test_the_text_declares_the_very_experiment(folder):
    resolved = json.loads((folder / "experiment.json").read_text())["experiment"]
    ((file, command, text),) = sections.experiments(load(folder))
    assert Experiment.model_validate(parse_yaml(text)) == Experiment.model_validate(resolved)
    assert file == f"{resolved['name']}.yaml"
    assert command == f"offmap run {file} --out runs/{resolved['name']}"


def test_the_page_gives_the_command_and_the_experiment_instead_of_what_workers_ran(golden, one_figure, build):
    assert "offmap run experiment.yaml" in build(golden).read_text()
    assert "No readable <code>experiment.json</code>" in build(golden).read_text()
    declare(golden)
    text = build(golden).read_text()
    assert "<pre>offmap run tiny.yaml --out runs/tiny</pre>" in text
    assert "splits:\n- point-goal.ood\n" in text
    assert "offmap run experiment.yaml" not in text
    assert "No readable" not in text


def test_equal_experiments_are_one_and_others_of_the_same_name_are_numbered(golden):
    for folder, seeds in (("a", [0]), ("b", [0]), ("c", [1])):
        declare(golden / folder, seeds=seeds)
    assert [made[:2] for made in sections.experiments(load(golden))] == [
        ("tiny.yaml", "offmap run tiny.yaml --out runs/tiny"),
        ("tiny-2.yaml", "offmap run tiny-2.yaml --out runs/tiny-2"),
    ]


@pytest.mark.parametrize("name", ["x; rm -rf ~", "../up", "-out", "a\nb", "", "x" * 300, 3, None])
def test_a_name_that_would_not_stay_one_word_of_a_command_is_refused(golden, name):
    declare(golden, name=name)
    assert load(golden).experiments == {}
    assert "that of an experiment: experiment.name: " in reasons(golden)["experiment.json"]


@pytest.mark.parametrize(
    ("text", "why"),
    [("", "cannot be read (JSONDecodeError)"), ("[" * 100_000, "cannot be read (RecursionError)"),
     ("[]", "not that of an experiment"), ('{"experiment": {"name": "tiny"}}', "experiment.splits: Field required"),
     ('{"experiment": "' + "x" * 1_000_000 + '"}', "is longer than 1000000 bytes"),
     (b"\xff\xfe", "cannot be read (UnicodeDecodeError)")],
)  # fmt: skip
def test_what_is_no_experiment_is_named_on_the_page(golden, one_figure, text, why, build):
    (golden / "experiment.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert why in reasons(golden)["experiment.json"]
    page = build(golden).read_text()
    assert "<code>experiment.json</code>" in page[page.index('id="missing"') :]


def test_a_hostile_experiment_stays_text(golden, one_figure, build):
    declare(golden, description="</pre><script>alert(1)</script>\u202e\x1b[2J", budget={"!!python/object": "{{ 7*7 }}"})
    text = build(golden).read_text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text
    assert "{{ 7*7 }}" in text
    assert not {"\u202e", "\x1b"} & set(text)


def png(colour=(200, 30, 30), size=(40, 30), **saved):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, format="PNG", **saved)
    return buffer.getvalue()


def put_picture(folder, name, data):
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    (folder / "pictures" / name).write_bytes(data)


def test_the_picture_of_a_body_is_on_the_page_with_its_pixels_alone(golden, synthetic, one_figure, build):
    said = PngImagePlugin.PngInfo()
    said.add_text("Comment", "<script>alert(1)</script>")
    put_picture(golden, f"{synthetic.SPLIT}.body.png", png(pnginfo=said) + b"<script>after the end</script>")
    results = load(golden)
    assert results.problems == ()
    text = build(golden).read_text()
    (data,) = re.findall(r'<img src="data:image/png;base64,([^"]*)" alt="The body with the joints that vary', text)
    shown = Image.open(io.BytesIO(base64.b64decode(data)))
    assert shown.getcolors() == [(40 * 30, (200, 30, 30))]
    assert shown.info == {}
    assert b"script" not in base64.b64decode(data)
    assert 'width="40" height="30"' in text


def test_without_pictures_there_is_none(golden, one_figure, build):
    assert "data:image/png" not in build(golden).read_text()


def huge():
    """A PNG of a few bytes that says it is 100,000 pixels wide and high."""
    head = b"IHDR" + (100_000).to_bytes(4) * 2 + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4) + head + zlib.crc32(head).to_bytes(4) + png()[33:]


@pytest.mark.parametrize(
    ("data", "why"),
    [(b"", "UnidentifiedImageError"), (b"<svg onload='alert(1)'/>", "UnidentifiedImageError"),
     (png()[:60], "cannot be read"), (huge(), "cannot be read (DecompressionBombError)"),
     (png(size=(2401, 2)), "is larger than 2400 x 2400 pixels"),
     (png() + bytes(1_000_000), "is longer than 1000000 bytes")],
)  # fmt: skip
def test_what_is_no_small_png_is_left_out(golden, synthetic, data, why):
    put_picture(golden, f"{synthetic.SPLIT}.body.png", data)
    assert why in reasons(golden)[f"pictures/{synthetic.SPLIT}.body.png"]
    assert load(golden).pictures == {}


def test_pictures_of_other_splits_other_pictures_and_links_out_are_not_shown(golden, synthetic, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "mine.png"
    outside.write_bytes(png())
    put_picture(golden, "ant-goal.standard.body.png", png())
    put_picture(golden, f"{synthetic.SPLIT}.png", png())
    (golden / "pictures" / f"{synthetic.SPLIT}.body.png").symlink_to(outside)
    assert load(golden).pictures == {}
    assert reasons(golden) == {
        "pictures/ant-goal.standard.body.png": "is of a split without results here",
        f"pictures/{synthetic.SPLIT}.body.png": "is a link that leads out of the folder",
    }


def test_of_two_pictures_of_a_split_one_is_shown_and_a_copy_is_none(golden, synthetic):
    name = f"{synthetic.SPLIT}.body.png"
    for folder, colour in (("a", "red"), ("b", "red"), ("c", "blue")):
        put_picture(golden / folder, name, png(colour))
    assert list(reasons(golden)) == [f"c/pictures/{name}"]
    assert list(load(golden).pictures) == [synthetic.SPLIT]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(place=st.integers(0, len(png()) - 1), byte=st.integers(0, 255), end=st.integers(0, 60))
def test_whatever_a_picture_holds_it_is_shown_or_left_out(tmp_path_factory, place, byte, end):
    folder = tmp_path_factory.mktemp("foreign")
    data = bytearray(png())
    data[place] = byte
    put_picture(folder, "a.b.body.png", bytes(data[: len(data) - end]))
    problems = []
    found = read_pictures([folder], ["a.b"], problems)
    assert len(found) + len(problems) == 1
