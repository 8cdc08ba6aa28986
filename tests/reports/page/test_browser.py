"""The page in a real browser: it runs without errors or requests, sorts, can be read by all, and trusts no name."""

import base64
import json
import os
import re
import shutil
import tempfile

import pytest

from reports.reading.load import load
from reports.report import write

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync")  # fmt: skip
REQUIRED = "OFFMAP_REQUIRE_BROWSER"
"""Where this is set in the environment, a missing browser fails these tests instead of skipping them."""

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def unavailable(reason):
    if os.environ.get(REQUIRED):
        pytest.fail(f"{reason}, and {REQUIRED} is set")
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser():
    try:
        from selenium import webdriver
    except ImportError:
        unavailable("needs the Python package selenium")
    for program in (CHROMIUM, DRIVER):
        if not os.path.exists(program):
            unavailable(f"needs {program} (Debian: chromium and chromium-driver)")
    profile = tempfile.mkdtemp()
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()
    shutil.rmtree(profile, ignore_errors=True)


def opened(browser, path, width=1200, dark=False, unfolded=True):
    """What the browser complained of and which addresses it asked for while it opened a page."""
    media = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen", "features": media})
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(path.resolve().as_uri())
    if unfolded:
        browser.execute_script("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return browser.get_log("browser"), [url for url in asked if not url.startswith("data:")]


@pytest.fixture(scope="module")
def rich_page(rich, tmp_path_factory, build):
    return build(rich, tmp_path_factory.mktemp("page"))


@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_opens_without_errors_or_requests_and_fits(browser, rich_page, width, dark):
    complaints, asked = opened(browser, rich_page, width, dark)
    assert complaints == []
    assert asked == [rich_page.resolve().as_uri()]
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    background = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(20, 23, 28)" if dark else "rgb(255, 255, 255)")


def test_every_picture_is_shown_and_has_words(browser, rich_page):
    opened(browser, rich_page)
    pictures = browser.execute_script(
        "return [...document.querySelectorAll('svg[role=img]')].map(i => { const box = i.getBoundingClientRect(); "
        "return [i.querySelectorAll('path, use').length, i.ariaLabel, box.width / box.height]; })"
    )
    assert len(pictures) >= 12
    for marks, words, shape in pictures:
        assert marks > 10
        assert any(letter.isdigit() for letter in words)
        assert 0.9 < shape < 2.2


def test_a_mark_says_its_value_under_the_pointer(browser, rich_page):
    opened(browser, rich_page)
    marks = browser.find_elements("css selector", "details:has(#in_and_out) g:has(> title)")
    assert len(marks) == 8  # of four variants, on both lists
    under = (
        "arguments[0].scrollIntoView(); const box = arguments[0].getBoundingClientRect(); "
        "return document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2)"
        ".closest('g:has(> title)').querySelector('title').textContent"
    )
    told = [browser.execute_script(under, mark) for mark in marks]
    assert all(re.fullmatch(r"[\w-]+, test(_id)?: -?[\d.]+ \[.+\]", text) for text in told), told


def column(browser, table, place):
    script = "return [...arguments[0].tBodies[0].rows].map(row => row.cells[arguments[1]].textContent)"
    return browser.execute_script(script, table, place)


def test_tables_sort_with_the_keyboard_by_number_and_say_so(browser, rich_page):
    from selenium.webdriver.common.keys import Keys

    opened(browser, rich_page)
    table = browser.find_element("css selector", "#table-main table.sortable")
    names = column(browser, table, 0)
    button = table.find_elements("css selector", "th button")[1]
    button.send_keys(Keys.ENTER)
    head = table.find_elements("css selector", "thead th")[1]
    assert head.get_attribute("aria-sort") == "ascending"
    cells = [text.replace("\u2212", "-").split(" ")[0] for text in column(browser, table, 1)]
    numbers = [float(text) for text in cells if text.lstrip("-")[:1].isdigit()]
    assert len(numbers) == 4
    assert numbers == sorted(numbers)
    assert cells[-1] == "not"  # "not supported": words after all numbers
    button.send_keys(Keys.SPACE)
    assert head.get_attribute("aria-sort") == "descending"
    table.find_elements("css selector", "th button")[0].click()
    assert column(browser, table, 0) == sorted(names, key=str.lower)
    assert head.get_attribute("aria-sort") is None


def test_durations_sort_by_time_and_not_by_their_digits(browser, tmp_path, synthetic, build):
    for variant, seconds in (("mier", 7200.0), ("pearl", 600.0), ("mql", 90.0)):
        cost = synthetic.document()["cost"] | {"train_wall_seconds": seconds}
        synthetic.simple_run(tmp_path, variant, 0, test=[[1.0]], cost=cost)
    opened(browser, build(tmp_path))
    table = browser.find_element("css selector", "section[aria-labelledby=runs] table.sortable")
    table.find_elements("css selector", "th button")[5].click()
    assert column(browser, table, 5) == ["90 s", "10 min", "2.0 h"]


def test_headings_are_in_order_and_regions_are_named(browser, rich_page):
    opened(browser, rich_page)
    levels = browser.execute_script("return [...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:]))
    unnamed = browser.execute_script(
        "return [...document.querySelectorAll('section, nav, [role=region]')].filter(e => !e.ariaLabel && "
        "!document.getElementById(e.getAttribute('aria-labelledby'))).length"
    )
    assert unnamed == 0
    ids = browser.execute_script("return [...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))


def test_every_cell_of_the_heat_table_leads_to_its_seeds(browser, rich_page):
    opened(browser, rich_page, unfolded=False)
    cells = browser.find_elements("css selector", ".heat td a")
    assert len(cells) == 4
    row = browser.find_element("id", cells[0].get_attribute("href").rpartition("#")[2])
    assert not row.is_displayed()
    cells[0].click()
    assert row.is_displayed()
    assert row.text.startswith("MIER, test 0: ")


def test_the_first_tab_stop_skips_to_the_summary(browser, rich_page):
    from selenium.webdriver.common.keys import Keys

    opened(browser, rich_page)
    browser.find_element("tag name", "body").send_keys(Keys.TAB)
    assert browser.execute_script("return document.activeElement.getAttribute('href')") == "#summary"


ATTACK = (
    '<img src=x onerror="window.broken=1"><script>window.broken=1</script>\'"><svg onload=window.broken=1>{{ 7*7 }}'
)


@pytest.mark.filterwarnings("error:constrained_layout not applied")
def test_a_malicious_name_runs_nothing(browser, tmp_path, synthetic, build):
    document = {
        "provenance": {"command": ATTACK, "host": ATTACK, "git_revision": ATTACK, "versions": {ATTACK: ATTACK}},
        "config": {"train": {ATTACK: ATTACK}},
    }
    synthetic.simple_run(tmp_path, ATTACK, 0, test=[[1.0], [2.0]], test_id=[[1.0]], split=ATTACK, **document)
    synthetic.write_cells(tmp_path, [(ATTACK, ATTACK, 1, None, "failed", ATTACK)])
    complaints, asked = opened(browser, build(tmp_path))
    assert browser.execute_script("return window.broken === undefined")
    assert complaints == []
    assert len(asked) == 1
    assert ATTACK in browser.execute_script("return document.body.textContent")
    assert "49" not in browser.title


def test_a_script_that_got_in_all_the_same_is_not_run(browser, rich_page, tmp_path):
    page = tmp_path / "report.html"
    page.write_text(rich_page.read_text().replace("</main>", "<script>window.broken = 1</script></main>"))
    complaints, _ = opened(browser, page)
    assert browser.execute_script("return window.broken === undefined")
    assert any("Content Security Policy" in entry["message"] for entry in complaints)


def lone(folder, synthetic):
    synthetic.simple_run(folder, "mier", 0, test=[[1.0]])


def failed(folder, synthetic):
    synthetic.write_cells(folder, [("mier", synthetic.SPLIT, 0, None, "failed", "killed")])


def unequal(folder, synthetic):
    for variant, seeds in (("mier", 3), ("pearl", 1)):
        for seed in range(seeds):
            synthetic.simple_run(folder, variant, seed, test=[[seed + 1.0]], test_id=[[2.0]])


def not_numbers(folder, synthetic):
    synthetic.simple_run(folder, "mier", 0, test=[[float("nan")], [1.0]], test_id=[[float("inf")]])
    synthetic.simple_run(folder, "pearl", 0, test=[[2.0]])


@pytest.mark.parametrize("make", [lone, failed, unequal, not_numbers])
def test_thin_results_make_pages_too(browser, tmp_path, synthetic, make, build):
    make(tmp_path, synthetic)
    complaints, asked = opened(browser, build(tmp_path), width=390)
    assert (complaints, len(asked)) == ([], 1)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    assert "nan" not in browser.execute_script("return document.querySelector('main').innerText").lower().split()


def pages(browser):
    """How many sheets of A4 the page of a browser is in print."""
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})
    return len(re.findall(rb"/Type\s*/Page\b", base64.b64decode(printed["data"])))


def test_it_prints_without_cutting_tables_off(browser, rich_page):
    opened(browser, rich_page)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 720, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    )
    ends = browser.execute_script(
        "return [...document.querySelectorAll('table')].map(table => table.getBoundingClientRect().right)"
    )
    assert max(ends) <= 720
    assert not browser.find_element("tag name", "nav").is_displayed()
    assert pages(browser) > 0


def test_the_page_of_a_whole_paper_is_light_and_short(browser, tmp_path, large):
    large.large_folder(tmp_path / "runs")
    path = write(load(tmp_path / "runs"), tmp_path / "out")
    assert path.stat().st_size <= 2_000_000
    opened(browser, path, unfolded=False)
    assert browser.execute_script("return document.documentElement.scrollHeight") <= 12 * 900
    assert 0 < pages(browser) < 15


def test_a_page_of_several_splits(browser, tmp_path, synthetic):
    splits = ("cheetah-velocity.hard", "ant-direction.ood")
    synthetic.rich_folder(tmp_path / "rich", variants=("mier", "pearl"), seeds=(0, 1), splits=splits, num_tasks=2)
    path = write(load(tmp_path / "rich"), tmp_path / "out")
    complaints, _ = opened(browser, path, width=390)
    assert complaints == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    links = browser.execute_script("return [...document.links].map(a => a.getAttribute('href'))")
    assert len(links) > 50
    for link in links:
        found = browser.find_elements("id", link[1:]) if link.startswith("#") else (path.parent / link).exists()
        assert found, link
