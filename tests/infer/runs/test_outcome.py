"""What is said of an image names it once."""

from rbinfer.runs.outcome import of_image


def test_an_image_is_named_once():
    assert of_image("a.fits", "no stars found") == "a.fits: no stars found"
    assert of_image("a.fits", "a.fits cannot be read") == "a.fits cannot be read"
    assert of_image("a.fits", "a.fits: the WCS is not used") == "a.fits: the WCS is not used"
