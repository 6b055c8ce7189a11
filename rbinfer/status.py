"""The status word of each row, one table of bits; and which rows are scored and real.

A bit about a position or its cutout is set by the kernels, one about what the network says by
`rbinfer.scoring.engine`, and one about the frame by `rbinfer.scoring.prepare`.
"""

import enum

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Status(enum.IntFlag):
    """Bits of ``rb_status``; bits below 256 mean that the row has no score."""

    POSITION_NOT_FINITE = 1
    OFF_IMAGE = 2
    WINDOW_OFF_IMAGE = 4
    TOO_FEW_GOOD_PIXELS = 8
    SCORE_NOT_FINITE = 16
    NO_DATA = 32
    NEAR_EDGE = 256
    PARTLY_MASKED = 512
    SATURATED = 1024
    FWHM_OUT_OF_RANGE = 2048
    LOW_SNR = 4096
    FWHM_ASSUMED = 8192


MEANING: dict[Status, str] = {
    Status.POSITION_NOT_FINITE: "not scored: the position is masked, NaN or infinite",
    Status.OFF_IMAGE: "not scored: the position lies off the image",
    Status.WINDOW_OFF_IMAGE: "not scored: the cutout leaves the image (reference preset only)",
    Status.TOO_FEW_GOOD_PIXELS: "not scored: too few good pixels in the cutout",
    Status.SCORE_NOT_FINITE: "not scored: the network returned a value that is not finite",
    Status.NO_DATA: "not scored: the position lies in an area without data",
    Status.NEAR_EDGE: "part of the cutout lies off the image",
    Status.PARTLY_MASKED: "part of the cutout is masked or not finite",
    Status.SATURATED: "a central pixel is at or above the saturation level",
    Status.FWHM_OUT_OF_RANGE: "the FWHM lies outside the range that the model was trained on",
    Status.LOW_SNR: "the S/N lies below the range that the model was trained on",
    Status.FWHM_ASSUMED: (
        "the frame shows no stars to measure the FWHM on: that of other frames, the header's, the "
        "catalogue's, a likely one or a default was taken"
    ),
}

#: Any of these bits means that the row has no score.
UNSCORED: int = 255


def explain(status: int) -> list[str]:
    """Say in words what a status value means.

    Parameters
    ----------
    status : int
        One value of ``rb_status``.

    Returns
    -------
    list of str
        ``"NAME: meaning"`` for every bit set; empty for 0.
    """
    return [f"{bit.name}: {text}" for bit, text in MEANING.items() if status & bit]


def is_scored(status: ArrayLike) -> NDArray[np.bool_]:
    """Tell which rows have a score.

    Parameters
    ----------
    status : array_like of int, shape (n,)
        Status words.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    return np.asarray((np.asarray(status) & UNSCORED) == 0, dtype=np.bool_)


def is_real(score: ArrayLike, threshold: float) -> NDArray[np.bool_]:
    """Tell which rows are real: those whose score is above the threshold.

    Parameters
    ----------
    score : array_like of float32, shape (n,)
        NaN where there is none, which is not real.
    threshold : float
        Compared in the precision of scores, as everywhere.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    scores: NDArray[np.float32] = np.ma.filled(np.ma.asarray(score, np.float32), np.nan)
    return np.asarray(scores > np.float32(threshold), np.bool_)
