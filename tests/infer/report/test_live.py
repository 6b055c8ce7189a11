"""The page of a watch: what it tells, that it is whole, and that it looks as it should."""

import json
import re
from dataclasses import replace

import pytest

from rbinfer.errors import InputError
from rbinfer.report import live
from rbinfer.report.live import LivePage
from rbinfer.runs.journal import Line


def line(number, ok=True, **more):
    summary = {"detections": 100, "real": 60, "bogus": 30, "unscored": 10, "fwhm": 3.0 + number / 100}
    return Line(
        image=f"in/<f{number}>.fits",
        output=f"f{number}.ecsv",
        ok=ok,
        error=None if ok else "no & image",
        summary=summary | {"fwhm_source": "measured"} if ok else None,
        seconds=0.5,
        finished=f"2026-11-28T17:00:{number % 60:02}.000+00:00",
        **more,
    )


def test_counts_failures_and_reload(tmp_path):
    page = LivePage.of(tmp_path / "live.html", tmp_path)
    page.write()
    assert "No image has been scored yet" in page.path.read_text()
    for number in range(3):
        page.add(line(number))
    page.add(line(3, ok=False))
    text = page.path.read_text()
    assert "<b>3</b>images" in text
    assert "<b>300</b>detections" in text
    assert "<b>90</b>bogus (33.3 %)" in text
    assert "&lt;f3&gt;.fits" in text
    assert "no &amp; image" in text
    assert text.count("number of the image, the newest last") == 2
    assert re.search(r'<meta http-equiv="refresh" content="\d+">', text)
    # It failed, was mended and came again.
    page.add(line(3))
    assert "no &amp; image" not in page.path.read_text()
    assert [each.name for each in tmp_path.iterdir()] == ["live.html"]


def test_the_newest_line_of_an_image_is_the_one_that_counts(tmp_path):
    lines = [line(0), line(1), line(2), line(0), line(0), line(1, ok=False)]
    page = LivePage.of(tmp_path / "live.html", tmp_path)
    for each in lines:
        page.add(each)
    with (tmp_path / "watch.jsonl").open("w") as journal:
        journal.writelines(f"{json.dumps(each.as_dict())}\n" for each in lines)
    for shown in (page, LivePage.of(tmp_path / "live.html", tmp_path)):
        text = shown.render()
        for tile in ("2</b>images", "200</b>detections", "120</b>real", "1</b>failed"):
            assert f"<b>{tile}" in text
        assert len(re.findall(r'<span title="in/&lt;f\d&gt;', text)) == 2
    # In another format it is the same image.
    page.add(replace(line(2), output="f2.csv"))
    assert "<b>2</b>images" in page.render()


def test_size_does_not_grow_with_the_night(tmp_path):
    page = LivePage.of(tmp_path / "live.html", tmp_path)
    sizes = []
    for number in range(1200):
        page._take(line(number))
        if number in (599, 1199):
            sizes.append(len(page.render()))
    assert sizes[1] < 1.02 * sizes[0]
    assert "<b>1,200</b>images" in page.render()
    assert "1,100 more before" in page.render()


def test_only_its_own_page_is_replaced(tmp_path):
    LivePage.of(tmp_path / "live.html", tmp_path).write()
    LivePage.of(tmp_path / "live.html", tmp_path).write()
    (tmp_path / "mine.html").write_text("<html>")
    with pytest.raises(InputError, match="exists and is kept"):
        LivePage.of(tmp_path / "mine.html", tmp_path)
    with pytest.raises(InputError, match=r"call it live\.html"):
        LivePage.of(tmp_path / "live.txt", tmp_path)


def test_nothing_is_cut_off_in_a_browser(browser, tmp_path):
    page = LivePage.of(tmp_path / "live.html", tmp_path)
    for number in range(150):
        page._take(line(number))
    page.add(line(200, ok=False))
    for width in (390, 1400):
        browser.set_window_size(width, 900)
        browser.get(page.path.as_uri())
        widths = browser.execute_script(
            "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert widths[0] <= widths[1]
        assert len(browser.find_elements("css selector", "#images tbody tr")) == 100
        assert len(browser.find_elements("css selector", "svg.chart")) == 2


#: The image of each row, and behind them the order of the table; in one go, between two reloads.
_SHOWN = """
const [table] = document.querySelectorAll("#images");
const heads = [...table.tHead.rows[0].cells].filter((head) => head.ariaSort);
const rows = [...table.tBodies[0].rows];
return [...rows.map((row) => row.cells[0].textContent), ...heads.map((head) => head.ariaSort)];
"""


def test_the_order_of_a_table_outlasts_reloads_in_a_browser(browser, tmp_path, monkeypatch):
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.support.ui import WebDriverWait

    wait = WebDriverWait(browser, 30, ignored_exceptions=[WebDriverException])  # amid a reload

    def shows(*expected):
        names = [f"<f{each}>.fits" if isinstance(each, int) else each for each in expected]
        wait.until(lambda _: browser.execute_script(_SHOWN) == names)

    def page_of(name, *numbers):
        page = LivePage.of(tmp_path / name, tmp_path)
        for number in numbers:
            page._take(line(number))
        page.write()
        browser.get(page.path.as_uri())
        return page

    monkeypatch.setattr(live, "_RELOAD", 1)
    page = page_of("live.html", 3, 1, 5)
    shows(5, 1, 3)  # the newest first
    for expected in ((1, 3, 5, "ascending"), (5, 3, 1, "descending")):
        browser.execute_script("document.querySelectorAll('#images th button')[6].click()")  # FWHM
        shows(*expected)
    page.add(line(4))
    shows(5, 4, 3, 1, "descending")
    page.add(line(0))
    shows(5, 4, 3, 1, 0, "descending")
    # The order of one page is no other's.
    page_of("other.html", 3, 1, 5)
    shows(5, 1, 3)
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
