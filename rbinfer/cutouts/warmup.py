"""Make the kernels ready before they are needed."""

import time

import numpy as np

from ..io.exposure import as_exposure
from ..model.spec import PreprocessSpec
from .cutter import Cutter, preprocess_cutout


def warmup() -> float:
    """Load the kernels, or compile them and keep them.

    Returns
    -------
    float
        Seconds that it took.
    """
    start = time.perf_counter()
    image = np.zeros((64, 64), np.float32)
    position = np.array([32.0])
    for spec in (PreprocessSpec.reference(), PreprocessSpec.default()):
        Cutter.prepare(as_exposure(image, fwhm=3.0), spec).cut(position, position)
    for dtype in (np.float32, np.float64):
        preprocess_cutout(image[:31, :31].astype(dtype))
    return time.perf_counter() - start
