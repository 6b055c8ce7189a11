"""The bytes of a file, of which another process may take some away."""

import gzip
import os

import numpy as np
import pytest
from astropy.io import fits

from rbinfer.errors import InputError
from rbinfer.io.layout import content_of, ends_early, places_of


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.fits"
    cards = fits.Header({f"CARD{k}": k for k in range(100)})  # of several blocks
    hdus = [fits.PrimaryHDU(np.zeros((900, 1000), np.float32), cards), fits.ImageHDU(np.ones((3, 4)))]
    fits.HDUList(hdus).writeto(path)
    return path


@pytest.mark.parametrize("compressed", [False, True])
def test_bytes_and_places_are_those_of_the_file(path, compressed):
    whole = path.read_bytes()
    with fits.open(path) as hdus:
        known = [(info["hdrLoc"], info["datLoc"]) for info in (hdu.fileinfo() for hdu in hdus)]
    if compressed:
        path.write_bytes(gzip.compress(whole, 1))
    with content_of(path) as content:
        assert len(content) == len(whole)
        pieces = list(content.pieces(7, len(whole) - 5))
        assert len(pieces) > 1
        assert b"".join(pieces) == whole[7:-5]
        assert content[80:160] == whole[80:160]
        assert content[len(whole) - 3 : len(whole) + 9] == whole[-3:]
        places = places_of(content)
    assert [(place.header, place.data) for place in places] == known
    assert [place.lacks for place in places] == [0, 0]


@pytest.mark.parametrize("size", [0, 100, 20_000])
def test_a_file_that_is_cut_while_it_is_read_is_an_error(path, size):
    with content_of(path) as content:
        n = len(content)
        places_of(content)
        os.truncate(path, size)
        with pytest.raises(InputError, match=r"a\.fits has become shorter while it was read"):
            content[n - 2880 : n]
        with pytest.raises(InputError, match="has become shorter"):
            list(content.pieces(0, n))
    assert ends_early(path)
