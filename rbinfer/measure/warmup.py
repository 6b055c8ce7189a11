"""Make the kernels ready before they are needed."""

import time

import numpy as np

from ..cutouts.cutter import Cutter, preprocess_cutout
from ..io.exposure import as_exposure
from ..model.spec import PreprocessSpec
from .islands import find_detections
from .layers import Layer


def warmup(detects: bool = True) -> float:
    """Load the kernels, or compile them and keep them.

    Parameters
    ----------
    detects : bool
        Those of the detection too.

    Returns
    -------
    float
        Seconds that it took.
    """
    start = time.perf_counter()
    # Of an image without noise or stars nothing would be detected.
    image = np.zeros((64, 64), np.float32)
    image[::2, ::2], image[30:34, 30:34] = 1.0, 100.0
    position = np.array([32.0])
    for spec in (PreprocessSpec.reference(), PreprocessSpec.default()):
        Cutter.prepare(as_exposure(image, fwhm=3.0), spec).cut(position, position)
    for dtype in (np.float32, np.float64):
        preprocess_cutout(image[:31, :31].astype(dtype))
    Layer(image).halved()
    if detects:
        find_detections(image, None, 5.0, 3, True, 0.005, 1)
    return time.perf_counter() - start
