"""The page in a real browser: keys, undo, reload, two windows, a grid, a phone, 10,000 cutouts."""

import time
from dataclasses import replace

import numpy as np
import pytest
from astropy.table import Table

from rbinfer.io.labels import LabelFile, current, read_labels

from .conftest import running, write_image, write_result, write_results

PATIENCE = 60.0


def _wait(condition):
    give_up = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < give_up
        time.sleep(0.01)
    return found


class Person:
    """Somebody at a browser."""

    def __init__(self, browser, address):
        self.browser = browser
        browser.set_window_size(1400, 1000)  # tests of other pages leave it as narrow as a phone
        browser.get(address)
        _wait(self.shown)

    def script(self, text, *args):
        return self.browser.execute_script(text, *args)

    def shown(self):
        """The item that is shown alone and whose picture is there, as a number; None without."""
        return self.script(
            "const i = document.getElementById('near');"
            "return !busy && current && i.complete && i.naturalWidth > 3 ? current.item + 1 : null"
        )

    def press(self, keys):
        """Press keys, each when the page has done with the one before and the picture is there."""
        for key in keys:
            _wait(lambda: self.script("return !busy && (inGrid || !current || isSeen())"))
            self.script(
                "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', "
                "{key: arguments[0], bubbles: true, cancelable: true}))",
                key,
            )
            _wait(lambda: not self.script("return busy"))

    def text(self, name):
        return self.script("return document.getElementById(arguments[0]).innerText", name)

    def error(self):
        return self.script(
            "const e = document.getElementById('error'); return e.hidden ? '' : e.innerText"
        )


def _labels(results):
    return [label.label for label in current(read_labels(results / "labels.ecsv"))]


@pytest.fixture
def person(browser, results):
    with running(results) as page:
        yield Person(browser, page.address)
        assert "Traceback" not in "".join(page.texts)


def test_keys(person, results):
    person.press("rbs")
    assert _labels(results) == ["real", "bogus", "skip"]
    assert "2 of 200 labelled (1 real, 1 bogus, 1 skipped)" in person.text("progress")
    assert person.browser.get_log("browser") == []
    kinds = [button.split()[0:-1] for button in person.text("classes").split("\n")]
    assert [" ".join(words) for words in kinds] == ["cosmic ray", "galaxy", "hot pixel", "star"]
    person.press("1")
    person.press("4")
    last = current(read_labels(results / "labels.ecsv"))[-2:]
    assert [(label.label, label.kind) for label in last] == [("bogus", "cosmic_ray"), ("real", "star")]


def test_what_is_shown_is_what_is_labelled(person, results):
    for _ in range(6):
        shown = _wait(person.shown) - 1
        facts = person.text("facts").split("\n")
        x = float(facts[facts.index("x, y") + 1].split(",")[0])
        says = "real" if "real" in person.text("verdict") else "bogus"
        person.press("r")
        label = read_labels(results / "labels.ecsv")[-1]
        assert label.x == pytest.approx(x, abs=0.006)
        assert label.verdict == says
        assert person.shown() != shown + 1


def test_undo_and_reload(person, results):
    person.press("rrb")
    shown = _wait(person.shown)
    person.press("u")
    assert _labels(results) == ["real", "real"]
    again = _wait(person.shown)
    assert again != shown  # the one that was taken back is shown again
    person.browser.refresh()
    assert _wait(person.shown) in (again, shown)
    assert "2 of 200 labelled" in person.text("progress")
    person.press(["Backspace", "u"])  # also what was answered before the page was loaded again
    assert _labels(results) == []
    person.press("u")
    assert "no answer to take back" in person.error()
    person.press("b")
    assert person.error() == ""
    assert _labels(results) == ["bogus"]


def test_a_held_key_is_one_answer(person, results):
    person.script(
        "for (let k = 0; k < 20; k++) document.dispatchEvent(new KeyboardEvent('keydown', "
        "{key: 'r', repeat: k > 0}))"
    )
    _wait(lambda: not person.script("return busy"))
    assert _labels(results) == ["real"]
    # Nor do keys count that are pressed before the next picture is there.
    _wait(person.shown)
    person.script(
        "for (let k = 0; k < 5; k++) document.dispatchEvent(new KeyboardEvent('keydown', {key: 'b'}))"
    )
    _wait(lambda: not person.script("return busy"))
    assert _labels(results) == ["real", "bogus"]


def test_no_key_counts_before_the_picture_is_there(person, results):
    person.press("r")
    _wait(person.shown)
    person.script(
        # A slow server: pictures come when the test says so.
        "window.held = [];"
        "const own = Object.getOwnPropertyDescriptor(HTMLImageElement.prototype, 'src');"
        "Object.defineProperty(document.getElementById('near'), 'src', {configurable: true,"
        " get() { return own.get.call(this); }, set(v) { held.push(() => own.set.call(this, v)); }});"
    )
    person.press("b")
    _wait(lambda: person.script("return held.length"))
    for key in "rbs1":
        person.script(
            "document.dispatchEvent(new KeyboardEvent('keydown', {key: arguments[0]}));"
            "document.getElementById('real').click()",
            key,
        )
    style = "return getComputedStyle(document.getElementById('near')).visibility"
    assert person.script(style) == "hidden"  # the old picture is not seen any more
    assert _labels(results) == ["real", "bogus"]
    person.script("held.pop()()")
    _wait(person.shown)
    assert person.script(style) == "visible"
    person.script("delete document.getElementById('near').src")
    person.press("s")
    assert _labels(results) == ["real", "bogus", "skip"]


def test_two_fills_at_a_time_bring_nothing_twice(person):
    items = person.browser.execute_async_script(
        "const done = arguments[0]; queue = [];"
        "Promise.all([fill(6), fill(6), fill(9)]).then(() => done(queue.map((each) => each.item)))"
    )
    assert len(items) == len(set(items)) == 9


def test_an_answer_of_another_window_stays(person, results):
    item = _wait(person.shown) - 1
    person.browser.execute_async_script(
        "const done = arguments[1]; const body = {item: arguments[0], label: 'skip', window: 'other'};"
        "fetch('answer', {method: 'POST', body: JSON.stringify(body)}).then(() => done())",
        item,
    )
    person.press("r")
    assert "another window has answered 'skip'" in person.error()
    assert _wait(person.shown) - 1 != item
    assert _labels(results) == ["skip"]
    person.browser.get_log("browser")


def test_what_other_windows_have_is_said_and_asked_for_again(browser, tmp_path):
    results = write_results(tmp_path, n_images=1, n=4)
    with running(results) as page:
        assert len(page.get("items?window=other&count=3")[1]["items"]) == 3
        person = Person(browser, page.address)
        person.press("r")
        assert "3 have no answer yet: 3 are open in other windows" in person.text("done")
        for item in page.get("items?window=other&count=3")[1]["items"]:
            assert page.post("answer", item=item["item"], label="real", window="other")[0] == 200
        _wait(lambda: "All of them have an answer" in person.text("done"))


def test_stretch_and_zoom(person):
    before = person.script("return document.getElementById('near').naturalWidth")
    person.press("+")
    _wait(
        lambda: (
            person.shown()
            and person.script("return document.getElementById('near').naturalWidth") < before
        )
    )
    person.press("--")
    _wait(lambda: person.script("return document.getElementById('near').naturalWidth") > before)
    person.press("t")
    assert "stretch=linear" in person.script("return document.getElementById('near').src")
    assert person.text("stretch").startswith("linear")


def test_the_grid(person, results):
    alone = _wait(person.shown) - 1
    person.press("g")
    cells = "return [...document.querySelectorAll('#grid button')].map(b => b.dataset.answer ?? '')"
    _wait(lambda: len(person.script(cells)) == 24)
    assert person.script("return cells.map(c => c.item)")[0] == alone
    person.press("rb")
    person.press(["ArrowRight", "ArrowDown", "ArrowUp", "s"])
    answers = person.script(cells)
    assert answers[:4] == ["real", "bogus", "", "skip"]
    assert answers.count("") == 21
    person.press("uu")
    assert person.script(cells)[:4] == ["real", "", "", ""]
    assert _labels(results) == ["real"]
    person.press("b" * 23)
    _wait(lambda: person.script(cells).count("") == 24)  # the next ones
    assert len(_labels(results)) == 24
    person.press("g")
    assert _wait(person.shown)
    assert len(_labels(results)) == 24


def test_to_the_end(browser, tmp_path):
    results = write_results(tmp_path, n_images=1, n=9)
    with running(results) as page:
        person = Person(browser, page.address)
        person.press("r" * 9)
        assert "All of them have an answer" in person.text("done")
        person.press("r")  # nothing is there to answer
        assert len(_labels(results)) == 9
        person.press("u")
        assert _wait(person.shown)
        assert len(_labels(results)) == 8


def test_two_windows_do_not_overwrite_one_another(person, results):
    first = person.browser.current_window_handle
    address = person.browser.current_url
    person.browser.switch_to.new_window("window")
    other = Person(person.browser, address)
    second = person.browser.current_window_handle
    try:
        for _ in range(4):
            other.press("b")
            person.browser.switch_to.window(first)
            person.press("r")
            person.browser.switch_to.window(second)
        rows = read_labels(results / "labels.ecsv")
        assert sorted(_labels(results)) == ["bogus"] * 4 + ["real"] * 4
        assert len({label.key for label in rows}) == 8
    finally:
        person.browser.close()
        person.browser.switch_to.window(first)


def test_killed_in_the_middle(browser, results):
    with running(results) as page:
        person = Person(browser, page.address)
        person.press("rbr")
        page.process.kill()
        page.process.wait()
        person.press("b")
        assert "rbinfer label has ended" in person.error()
        assert person.text("progress").startswith("3 of 200")  # not counted: it was not written
    browser.get_log("browser")
    assert _labels(results) == ["real", "bogus", "real"]
    with running(results) as page:
        person = Person(browser, page.address)
        assert person.text("progress").startswith("3 of 200")
        person.press("ub")
        assert _labels(results) == ["real", "bogus", "bogus"]


def test_an_image_that_is_gone_is_passed_over(browser, results, tmp_path):
    with running(results) as page:
        (tmp_path / "images" / "im0.fits").unlink()
        person = Person(browser, page.address)
        for _ in range(30):
            _wait(person.shown)
            assert person.script("return current.image") != "im0.fits" or person.error()
            person.press("r")
        gone = {label.image.rsplit("/", 1)[1] for label in read_labels(results / "labels.ecsv")[3:]}
        assert gone == {"im1.fits", "im2.fits"}
    browser.get_log("browser")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1400])
def test_on_a_phone_and_on_a_desk_by_day_and_by_night(person, width, dark):
    browser = person.browser
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    try:
        for mode in ("single", "grid"):
            if mode == "grid":
                person.press("g")
            assert person.script("return document.documentElement.scrollWidth") <= width
            boxes = person.script(
                "return [...document.querySelectorAll('nav button')].map(b => b.getBoundingClientRect())"
                ".map(r => [r.left, r.right, r.top, r.bottom])"
            )
            left, right, top, bottom = np.array(boxes).T
            assert left.min() >= 0
            assert right.max() <= width
            assert bottom.max() <= 800  # every button is in sight
            if width < 600:
                assert (bottom - top).min() >= 43  # and large enough for a thumb
        colours = person.script(
            "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]"
        )
        back, text = (np.mean([int(v) for v in c[4:-1].split(",")]) for c in colours)
        assert (back < text) == dark
        assert abs(back - text) > 150
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_by_keyboard_alone_every_button_is_reached(person):
    names = set()
    from selenium.webdriver.common.keys import Keys

    for _ in range(30):
        person.browser.switch_to.active_element.send_keys(Keys.TAB)
        names.add(person.script("return document.activeElement.id || document.activeElement.innerText"))
    assert {"bogus", "real", "skip", "undo", "mode", "stretch", "in", "out", "ask"} <= names
    person.press("?")
    assert "take the last answer back" in person.text("help")
    for _ in range(2):  # the second time there is nothing to hide
        person.press(["Escape"])
        assert person.script("return document.getElementById('help').hidden")


def test_ten_thousand_cutouts_do_not_make_it_slow(browser, tmp_path):
    images, results = tmp_path / "images", tmp_path / "results"
    images.mkdir()
    results.mkdir()
    x, y = write_image(images / "big.fits", 3, 10_000)
    write_result(results / "big.ecsv", images / "big.fits", 3, x, y)
    cost = {}
    for done in (0, 9_940):
        if done:
            answered = read_labels(results / "labels.ecsv")
            rows = {label.row for label in answered}
            more = [k for k in range(10_000) if k not in rows][: done - len(answered)]
            labels = [replace(answered[0], x=x[k], y=y[k], row=k) for k in more]
            LabelFile(results / "labels.ecsv").append(labels)
        with running(results, "--goal", 10_000) as page:
            person = Person(browser, page.address)
            assert person.text("progress").startswith(f"{done} of 10000 labelled")
            person.press("r" * 5)  # warm
            before = _spent(page)
            person.press("r" * 40)
            cost[done] = _spent(page) - before
            assert person.script("return document.getElementsByTagName('*').length") < 200
            assert person.script("return queue.length") <= 12
            if done:
                person.press("b" * 15)
                assert "All of them have an answer" in person.text("done")
    assert cost[9_940] < 2 * cost[0] + 0.2
    assert len(Table.read(results / "labels.ecsv")) == 10_000


def _spent(page):
    """CPU seconds of the server so far."""
    psutil = pytest.importorskip("psutil")
    times = psutil.Process(page.process.pid).cpu_times()
    return times.user + times.system
