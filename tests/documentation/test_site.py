"""The built site has a place for everything, loads nothing of another host, and fits a phone, light and dark."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

from algorithms.registry import ALGORITHMS
from tasks.registry import families, splits

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
"""What a browser loads by itself, and from where; of links those that only name another page load nothing."""
NAMES_ONLY = {"prev", "next", "canonical", "edit"}
PAGES = ("index.html", "start.html", "tasks/index.html", "tasks/cheetah-velocity.html", "algorithms/mier.html",
         "protocol.html", "cluster.html", "results.html", "reference/experiment.html",
         "reference/api/interfaces.html")  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The documentation, built as `make docs` builds it: a warning is an error."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


class Loads(HTMLParser):
    """The addresses that a page loads by itself."""

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag in LOADED and given.get(LOADED[tag]) and given.get("rel") not in NAMES_ONLY:
            self.addresses.append(given[LOADED[tag]])
        if "style" in given:
            self.addresses += re.findall(r"url\(['\"]?([^'\")]+)", given["style"])


def loaded_by(page):
    parser = Loads()
    parser.feed(page)
    return parser.addresses


def is_foreign(address):
    return re.match(r"(https?:)?//", address) is not None


def test_what_a_page_loads_is_seen():
    page = '<link rel="stylesheet" href="//a.b/c.css"><script src="x.js"></script><a href="https://a.b">a</a>'
    assert [is_foreign(address) for address in loaded_by(page)] == [True, False]


def test_no_page_or_style_loads_anything_of_another_host(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 60
    for page in pages:
        text = page.read_text()
        foreign = [address for address in loaded_by(text) if is_foreign(address)]
        assert foreign == [], page
        for address in loaded_by(text):
            if page.name != "404.html" and not address.startswith("data:"):
                assert (page.parent / address.partition("?")[0].partition("#")[0]).exists(), (page, address)
    for style in site.rglob("*.css"):
        assert re.findall(r"url\(['\"]?((?:https?:)?//[^'\")]+)|@import[^;]+", style.read_text()) == [], style


def test_every_family_split_and_algorithm_has_its_place(site):
    for family in families():
        page = (site / "tasks" / f"{family.name}.html").read_text()
        assert all(parameter.name in page for parameter in family.parameters)
        assert 'id="traps"' in page
    for split in splits():
        page = (site / "tasks" / f"{split.family}.html").read_text()
        assert f'id="split-{split.name}"' in page
        assert split.hash in page
        assert (site / "tasks" / f"{split.full_name}.png").stat().st_size > 10_000
    for entry in ALGORITHMS.values():
        page = (site / "algorithms" / f"{entry.module.rpartition('.')[2]}.html").read_text()
        assert f'id="{entry.name.replace("+", "")}"' in page
        for block in ("train", "adapt"):
            assert all(f"<code>{knob}</code>" in page for knob in entry.load(block).model_fields)


@pytest.fixture(scope="module")
def browser():
    """Debian's chromium, as the tests of reports use it."""
    place = Path(__file__).parents[1] / "reports" / "page" / "test_browser.py"
    spec = importlib.util.spec_from_file_location("report_browser", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    opening = module.browser.__wrapped__()
    driver = next(opening)
    yield lambda path, width, dark: (driver, *module.opened(driver, path, width, dark, unfolded=False))
    next(opening, None)


@pytest.mark.browser
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(("width", "dark"), [(390, True), (1200, False)], ids=["phone, dark", "desk, light"])
def test_pages_open_from_the_disk_without_complaints_and_fit(browser, site, page, width, dark):
    driver, complaints, asked = browser(site / page, width, dark)
    assert complaints == []
    assert [url for url in asked if not url.startswith("file://")] == []
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    scheme = driver.execute_script("return document.body.getAttribute('data-md-color-scheme')")
    assert scheme == ("slate" if dark else "default")


@pytest.mark.browser
def test_the_search_finds_a_knob_from_the_disk(browser, site):
    driver, _, _ = browser(site / "index.html", 1200, False)
    driver.execute_script("document.querySelector('[data-md-toggle=search]').click()")
    field = driver.find_element("css selector", ".md-search__input")
    field.send_keys("relabel_updates")
    until = time.monotonic() + 20
    titles = []
    while time.monotonic() < until and not any("mier" in title for title in titles):
        found = driver.find_elements("css selector", ".md-search-result__item a")
        titles = [link.get_attribute("href") for link in found]
        time.sleep(0.2)
    assert any("algorithms/mier.html" in title for title in titles), json.dumps(titles)
