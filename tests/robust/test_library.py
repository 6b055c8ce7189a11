"""The library of kernels on disk: what is damaged is not opened."""

import numpy as np
import pytest

from rbinfer.kernels.library import LibraryError, opened

from .scale import times


@pytest.mark.promise("Files", "The library of kernels with a bit changed, or cut, anywhere: not opened")
def test_damaged_library(kernels_as_library, tmp_path, tried):
    whole = kernels_as_library.path.read_bytes()
    path = tmp_path / kernels_as_library.path.name
    rng = np.random.default_rng(11)
    for _ in range(times(300, 50_000)):
        data = bytearray(whole)
        if rng.random() < 0.8:
            data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        else:
            data = data[: rng.integers(len(data))]
        path.write_bytes(data)
        with pytest.raises(LibraryError, match="it is damaged"):
            opened(path)
        tried()
