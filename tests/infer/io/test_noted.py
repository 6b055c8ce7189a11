"""Options that a scored catalogue notes, also where they are damaged."""

from pathlib import Path

import pytest

from rbinfer.io.noted import noted_image, options_in


@pytest.mark.parametrize(
    "text", [None, 3, "", "no JSON", '{"plane": "1"', '["plane"]', "null", "[" * 10**5]
)
def test_what_is_damaged_tells_nothing(text):
    assert options_in(text) == {}


def test_options_are_as_they_were_given():
    assert options_in('{"bayer": true, "plane": "R"}') == {"bayer": True, "plane": "R"}


def test_an_image_is_found_from_another_folder(tmp_path, monkeypatch):
    (tmp_path / "w" / "lights").mkdir(parents=True)
    (tmp_path / "w" / "out" / "results").mkdir(parents=True)
    image = tmp_path / "w" / "lights" / "a.fits"
    image.touch()
    result = tmp_path / "w" / "out" / "results" / "own.ecsv"
    result.touch()
    monkeypatch.chdir(tmp_path)
    # As the run named it, in its own folder, which lies above the result.
    found = noted_image("lights/a.fits", Path("w/out/results/own.ecsv"))
    assert found is not None
    assert found.samefile(image)
    assert noted_image(str(image), result) == image
    assert noted_image("gone/a.fits", result) is None
    assert noted_image("gone/a.fits", result, image.parent) == image
    # A result is not its own image, and a folder is none.
    assert noted_image("own.ecsv", result) is None
    assert noted_image("lights", result) is None
    assert noted_image("x" * 5000, result) is None
