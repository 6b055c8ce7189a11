"""Numbers with their nouns."""

from rbinfer._util.sentences import counted, noun


def test_one_is_singular_and_any_other_number_is_plural():
    assert [counted(n, "image") for n in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
    assert (noun(1, "HDU"), noun(3, "HDU")) == ("HDU", "HDUs")
