"""The page of a night: what it shows and refers to, and what a real headless browser makes of it."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from rbinfer.cli import main
from rbinfer.errors import InputError
from rbinfer.night import bands
from rbinfer.report import write_report
from rbinfer.report.page import _options, _trends

from .conftest import HOT, STRANGE, N, Page, night_in


def test_page_refers_to_nothing_outside(page):
    text = page.read_text(encoding="utf-8")
    own = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", text)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", own)
    parsed = Page(text)
    assert parsed.refers
    assert all(value.startswith("data:") for value in parsed.refers)
    assert "im11 <b>" not in text
    for shown in (STRANGE, "bad<i>.fits", "no <pixels> & none"):
        assert shown in parsed.shown
    assert "was worked on again" not in parsed.shown
    assert text.endswith("</html>")


def test_same_results_same_bytes(night, page, tmp_path):
    again = tmp_path / page.name
    write_report(night[1], again, most=8)
    assert again.read_bytes() == page.read_bytes()


def test_images_that_are_gone_cost_the_cutouts_alone(night, tmp_path, capsys):
    table = Table.read(night[1] / "im1.ecsv")
    table.meta["rb_image"] = "/nowhere/im1.fits"
    (tmp_path / "r").mkdir()
    table.write(tmp_path / "r" / "a.ecsv")
    out = tmp_path / "n.html"
    assert main(["report", str(tmp_path / "r"), "-o", str(out)]) == 0
    assert "the image was not found" in capsys.readouterr().err
    assert "<img" not in out.read_text()
    assert "image not found" in out.read_text()
    command = ["report", str(tmp_path / "r"), "-o", str(out), "--overwrite", "--images", str(night[0])]
    assert main([*command, "--title", "T & <U>"]) == 0
    assert out.read_text().count("<img") >= 20
    assert "<h1>T &amp; &lt;U&gt;</h1>" in out.read_text()
    # Beside the results, by the relative name.
    table.meta["rb_image"] = "sub/im1.fits"
    table.write(tmp_path / "r" / "a.ecsv", overwrite=True)
    (tmp_path / "r" / "sub").mkdir()
    (tmp_path / "r" / "sub" / "im1.fits").write_bytes(b"SIMPLE  = damaged")
    read = write_report(tmp_path / "r", out, overwrite=True)
    assert any(
        note.startswith("No cutouts: ") and "im1.fits cannot be read" in note for note in read.notes
    )
    assert "im1.fits cannot be read" in out.read_text()


def test_the_page_shows_stars_and_their_shape(night, page, tmp_path):
    text = page.read_text(encoding="utf-8")
    assert text.count('alt="mean star of ') == 3
    assert 'aria-label="Ellipticity of each image"' in text
    assert 'class="trend hollow"' not in text
    for name in ("im1", "im4"):
        table = Table.read(night[1] / f"{name}.ecsv")
        if name == "im1":
            table.meta.update(rb_fwhm_source="borrowed", rb_frames=3)
            del table.meta["rb_ellipticity"], table.meta["rb_theta"]
        table.write(tmp_path / f"{name}.ecsv")
    write_report(tmp_path, tmp_path / "n.html", images=night[0])
    text = (tmp_path / "n.html").read_text(encoding="utf-8")
    assert text.count('class="trend hollow"') == 1
    assert "borrowed" in text
    assert text.count('alt="mean star of ') == 1


def test_lists_among_the_options_are_written_as_they_are_given():
    assert _options('{"show": ["snr", "classes"], "fwhm": 2.5}') == [
        ("show", "snr classes"),
        ("fwhm", "2.5"),
    ]


def test_written_whole_or_not_at_all(night, tmp_path, monkeypatch):
    out = tmp_path / "n.html"
    out.write_text("before")
    monkeypatch.setattr(
        Path, "write_text", lambda *a, **k: (_ for _ in ()).throw(OSError(28, "No space"))
    )
    with pytest.raises(Exception, match="cannot be written: No space"):
        write_report(night[1], out, overwrite=True)
    monkeypatch.undo()
    assert out.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["n.html"]
    with pytest.raises(InputError, match="exists and is kept"):
        write_report(night[1], out)


def _column(browser, table, number):
    return browser.execute_script(
        "return [...document.querySelectorAll(`#${arguments[0]} tbody tr`)]"
        ".map(row => row.cells[arguments[1]].textContent)",
        table,
        number,
    )


def test_in_a_browser(browser, page):
    browser.get(page.as_uri())
    assert browser.get_log("browser") == []
    asked = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    urls = [
        one["params"]["request"]["url"] for one in asked if one["method"] == "Network.requestWillBeSent"
    ]
    assert page.as_uri() in urls
    assert all(url == page.as_uri() or url.startswith("data:") for url in urls)
    widths = browser.execute_script("return [...document.images].map(image => image.naturalWidth)")
    assert len(widths) >= 20
    assert min(widths) > 10
    shown = browser.execute_script("return document.body.innerText")
    assert STRANGE in shown
    assert "bad<i>.fits" in shown
    listed = zip(_column(browser, "repeats", 0), _column(browser, "repeats", 1), strict=True)
    assert {(float(x), float(y)) for x, y in listed} == set(map(tuple, HOT))
    # Each circle has its dot in its middle.
    dots = browser.execute_script(
        "const path = document.querySelector('path.dots').getAttribute('d').split('M').slice(1);"
        "return path.map(each => each.replace('h0', ''))"
    )
    circles = browser.execute_script(
        "return [...document.querySelectorAll('circle.repeat')]"
        ".map(each => `${each.getAttribute('cx')} ${each.getAttribute('cy')}`)"
    )
    assert len(circles) == len(HOT)
    assert set(circles) <= set(dots)
    # The page itself does not scroll sideways, however narrow.
    for width in (1400, 420):
        browser.set_window_size(width, 900)
        assert browser.execute_script(
            "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        )


def test_tables_sort_in_a_browser(browser, page):
    from selenium.webdriver.common.keys import Keys

    browser.get(page.as_uri())
    heads = browser.find_elements("css selector", "#images th")
    number = next(k for k, head in enumerate(heads) if head.text.startswith("FWHM (px)"))
    before = _column(browser, "images", number)
    for turn, order in (("ascending", 1), ("descending", -1)):
        heads[number].find_element("tag name", "button").click()
        values = [float(text) for text in _column(browser, "images", number)]
        assert values == sorted(map(float, before), reverse=order < 0)
        assert heads[number].get_attribute("aria-sort") == turn
    # By the keyboard, and numbers in names as numbers.
    heads[0].find_element("tag name", "button").send_keys(Keys.ENTER)
    assert _column(browser, "images", 0) == [STRANGE if k == 10 else f"im{k + 1}.fits" for k in range(N)]
    assert heads[number].get_attribute("aria-sort") is None
    seconds = len(heads) - 1
    for _ in range(2):
        heads[seconds].find_element("tag name", "button").click()
    assert _column(browser, "images", seconds)[:3] == ["3.0", "2.8", "2.5"]
    assert browser.get_log("browser") == []


def test_origin_is_lower_left_in_a_browser(browser, tmp_path):
    """A bright pixel at the upper left of its detection, counted in rows upwards."""
    image = np.zeros((101, 101), np.float32)
    image[54, 46] = 1000.0
    fits.writeto(tmp_path / "i.fits", image)
    table = Table({"x": [50.0], "y": [50.0], "rb_score": np.float32([0.4])})
    table.meta.update(rb_threshold=0.5, rb_fwhm=3.0, rb_hdu=0, rb_image="i.fits")
    (tmp_path / "r").mkdir()
    table.write(tmp_path / "r" / "a.ecsv")
    write_report(tmp_path / "r", tmp_path / "n.html", images=tmp_path)
    browser.get((tmp_path / "n.html").as_uri())
    pixels, width = browser.execute_script(
        "const image = document.images[0], canvas = document.createElement('canvas');"
        "canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;"
        "const to = canvas.getContext('2d'); to.drawImage(image, 0, 0);"
        "return [[...to.getImageData(0, 0, canvas.width, canvas.height).data], canvas.width]"
    )
    red = np.array(pixels).reshape(-1, width, 4)[:, :, 0]
    half = width // 2
    assert np.unravel_index(red.argmax(), red.shape) == (half - 4, half - 4)


def test_a_page_from_many_bands_is_the_page(night, page, tmp_path, monkeypatch):
    monkeypatch.setattr(bands, "_ROWS", 17)
    again = tmp_path / page.name
    write_report(night[1], again, most=8)
    assert again.read_bytes() == page.read_bytes()


def test_trends_are_in_the_order_of_time_where_each_image_has_one(night):
    read = night_in(night[1], None, 5)
    read.images = read.images[:3]
    names = [image.name for image in read.images]

    def shown():
        text = _trends(read)
        [order] = set(re.findall("number of the image, (by [a-z]+)", text))
        fwhm = text[: text.index("</svg>")]
        return order, [name for name in re.findall(r"<title>(.*?): ", fwhm) if name in names]

    assert shown() == ("by name", names)
    for k, image in enumerate(read.images):
        read.images[k] = dataclasses.replace(image, observed=f"2026-11-28 0{3 - k}:00:00")
    assert shown() == ("by time", names[::-1])
    read.images[0] = dataclasses.replace(read.images[0], observed="")
    assert shown() == ("by name", names)
