"""The page in a real browser with something in the way: bars, slow pictures, full disks, lost files."""

import pytest

from rbinfer.io.labels import current, read_labels

from .conftest import running
from .test_browser import Person, _labels, _wait


@pytest.fixture
def person(browser, results):
    with running(results) as page:
        yield Person(browser, page.address)


@pytest.mark.parametrize(("width", "height"), [(400, 800), (1400, 650)])
def test_what_has_the_focus_in_the_grid_is_in_sight(person, width, height):
    person.browser.set_window_size(width, height)
    person.press("g")
    _wait(lambda: person.script("return inGrid && cells.length > 15"))
    for k in range(24):
        person.script(f"focusOn({k})")
        lower, bar = person.script(
            "const r = at('grid').children[focus].getBoundingClientRect();"
            "return [r.bottom, document.querySelector('nav').getBoundingClientRect().top]"
        )
        assert lower <= bar + 1, k


def test_the_verdict_is_in_sight_on_a_laptop(person):
    person.browser.set_window_size(1400, 650 + person.script("return outerHeight - innerHeight"))
    _wait(person.shown)
    assert person.script("return innerHeight") == 650
    lower, bar = person.script(
        "const r = at('verdict').getBoundingClientRect();"
        "return [r.bottom, document.querySelector('nav').getBoundingClientRect().top]"
    )
    assert lower <= bar + 1


def test_no_key_counts_in_the_grid_before_its_picture_is_there(person, results):
    person.browser.execute_cdp_cmd("Network.enable", {})
    person.browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*cutout*"]})
    try:
        person.script("window.pass = () => null")  # a picture that only takes its time
        person.press("g")
        _wait(lambda: person.script("return inGrid && cells.length > 3"))
        person.script("answer('real')")
        _wait(lambda: not person.script("return busy"))
    finally:
        person.browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
        person.browser.execute_cdp_cmd("Network.disable", {})
    assert not (results / "labels.ecsv").exists() or _labels(results) == []


def test_an_undo_that_fails_can_be_tried_again(person, results):
    person.press("rb")
    person.script("window.kept = ask; window.ask = async () => { throw new Error('the disk is full'); }")
    try:
        person.press("u")
        assert "the disk is full" in person.error()
    finally:
        person.script("window.ask = window.kept")
    assert _labels(results) == ["real", "bogus"]
    person.press("u")
    assert _labels(results) == ["real"]


def test_undo_after_a_reload_knows_this_table_alone(browser, results):
    with running(results) as page:
        first = Person(browser, page.address)
        first.press("rb")
        browser.execute_script("sessionStorage.setItem('stack', '[7, 8, 9]')")  # of another table
        browser.get("about:blank")
        Person(browser, page.address)
        browser.refresh()
        again = Person.__new__(Person)
        again.browser = browser
        _wait(again.shown)
        again.press("u")
        assert again.error() == "There is no answer to take back."


def test_an_image_that_vanishes_while_it_is_shown_is_passed_over(person, results):
    _wait(person.shown)
    image = person.script("return current.image")
    (results.parent / "images" / image.rsplit("/", 1)[-1]).unlink()
    person.press("r")
    assert "passed over" in person.error()
    _wait(person.shown)
    assert person.script("return current.image") != image
    person.press("b")
    labels = current(read_labels(results / "labels.ecsv"))
    assert [label.label for label in labels] == ["bogus"]
