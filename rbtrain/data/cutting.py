"""From a simulated frame to labelled cutouts: detect, label, cut by rbinfer's kernels."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from rbinfer import PreprocessSpec
from rbinfer.cutouts.centring import centres
from rbinfer.cutouts.cutter import Cutter
from rbinfer.cutouts.star import star_on_grid
from rbinfer.io.exposure import Exposure, Width, as_exposure
from rbinfer.measure.detect import detect
from rbinfer.measure.even import as_cut, evened
from rbinfer.measure.given import width_of_psf
from rbinfer.measure.islands import MESH
from rbinfer.measure.mean_star import FWHM as STAMP_FWHM
from rbinfer.measure.nodata import with_no_data
from rbinfer.measure.psf import FramePsf, measure_psf, measured_width
from rbinfer.measure.sky import measure_sky
from rbinfer.measure.threads import Threads
from rbinfer.model.spec import AROUND, DEFAULT_FWHM
from rbinfer.status import is_scored

from .._arrays import F16, F32, F64, I8, I64, Bools
from .._logs import unheard
from .._pixels import BOX, around
from ..config import CLASSES, SOURCES, DataConfig
from ..simulate import Frame
from ..simulate.psf import PSF
from .label import label_detections

#: What is stored of each cutout. ``stamp`` and ``population``: the star of its frame, and what the
#: maxima of that are like, among those of the dataset; -1 where it is not known. ``snr``: light of the
#: 3 x 3 native pixels around the peak over its expected noise. ``window_snr``: the same in rescaled
#: pixels, as the kernel measures it.
ROW = np.dtype(
    [
        ("label", "i1"),
        ("frame", "i4"),
        ("x", "f4"),
        ("y", "f4"),
        ("snr", "f4"),
        ("window_snr", "f4"),
        ("fwhm", "f4"),
        ("crowding", "f4"),
        ("stamp", "i4"),
        ("population", "i4"),
    ]
)
#: Of the frames for networks that read the star, so many have a catalogue with brightest pixels.
_WITH_PEAKS = 0.5
#: Of the frames whose FWHM is given, for so many the network is told what was measured, as of stamps.
_TOLD = 0.5
#: Of the frames on which no star is found, so many have the star of others, and up to this share they
#: are cut for what is likely or assumed; the rest for what a header notes.
_LENT, _ASSUMED = 0.2, 0.85
#: FWHM in pixels below which stars are no longer told from hits where 3 pixels are assumed.
_NARROW = 2.0


class Cut(NamedTuple):
    """Labelled cutouts of one frame.

    Attributes
    ----------
    pixels : ndarray of float16, shape (n, size, size, 2)
    rows : structured ndarray, shape (n,)
        Fields of `ROW`; ``stamp`` is 0 where `star` is known, else -1, and so ``population``.
    good : ndarray of bool
        Which detections the rows are: those that can be scored.
    cores : ndarray of float32, shape (n, 196)
        Native pixels and the wide view, as `rbinfer.cutouts.cutter.Cutouts` has them.
    star : ndarray of float32, shape (size, size), or None
        The star that was measured on the frame, on the grid of the cutouts.
    population : ndarray of float32, shape (70,), or None
        What the maxima of the frame are like, where it was measured.
    """

    pixels: F16
    rows: NDArray[np.void]
    good: Bools
    cores: F32
    star: F32 | None
    population: F32 | None


class _Seen(NamedTuple):
    """FWHM that a frame is cut for, and what the network is told of it, as in `Cut`."""

    fwhm: float
    star: F32 | None
    population: F32 | None


def frame_rng(seed: int, index: int) -> np.random.Generator:
    """Return the generator of one frame: it depends on the seed and the index alone.

    Parameters
    ----------
    seed : int
        Of all frames, 0 or more.
    index : int
        Number of the frame, 0 or more.

    Returns
    -------
    numpy.random.Generator
    """
    return np.random.default_rng(np.random.SeedSequence([seed, index]))


@unheard()
def find_detections(frame: Frame, data: DataConfig, rng: np.random.Generator) -> Table:
    """Detect and label the objects of one frame, as a telescope's pipeline might.

    As by `rbinfer`, its sky is level then.

    Parameters
    ----------
    frame : Frame
    data : DataConfig
    rng : numpy.random.Generator
        For what a pipeline may choose: threshold, area, filter, deblending; and for which are taken.

    Returns
    -------
    Table
        The columns of `rbinfer.measure.detect.detect` and ``label``; only the detections that are taken.
    """
    even = evened(as_exposure(frame.image, mask=frame.mask))
    threshold = float(rng.uniform(*data.threshold))
    if data.known_noise > 0 and rng.random() < data.known_noise:
        threshold *= noise_over_scatter(frame.noise, even)
    min_area = int(rng.choice(data.min_area))
    filtered = bool(rng.random() < data.filtered)
    found = detect(
        even.pixels,
        mask=even.mask,
        threshold=threshold,
        minarea=min_area,
        matched_filter=filtered,
        deblend_cont=float(rng.choice(data.deblending)),
    )
    if len(found) == 0:
        found["label"] = np.zeros(0, np.int8)
        return found
    xpeak, ypeak = np.asarray(found["xpeak"], int), np.asarray(found["ypeak"], int)
    x, y = np.asarray(found["x"], float), np.asarray(found["y"], float)
    found["label"] = label_detections(frame, x, y, xpeak, ypeak, data.lifted)
    return found[_at_most(np.asarray(found["label"]), data, rng)]


def noise_over_scatter(noise: F32, exposure: Exposure) -> float:
    """Return the noise (ny, nx) of a frame over what `detect` takes for it, at most 1."""
    sky = measure_sky(exposure.pixels, exposure.mask, MESH, Threads(1))
    if sky is None or not sky.typical > 0:
        return 1.0
    return min(float(np.nanmedian(noise)) / sky.typical, 1.0)


def cut_frame(
    frame: Frame, spec: PreprocessSpec, data: DataConfig, rng: np.random.Generator, index: int = 0
) -> Cut:
    """Detect, label and cut the objects of one frame, as a telescope's pipeline might.

    Parameters
    ----------
    frame : Frame
    spec : PreprocessSpec
        How the cutouts are made.
    data : DataConfig
    rng : numpy.random.Generator
        For what a pipeline may choose: threshold, filter, positions, FWHM error, maps.
    index : int
        Number of the frame, stored with each row.

    Returns
    -------
    Cut
    """
    return cut_detections(frame, find_detections(frame, data, rng), spec, data, rng, index)


@unheard()
def cut_detections(
    frame: Frame,
    found: Table,
    spec: PreprocessSpec,
    data: DataConfig,
    rng: np.random.Generator,
    index: int = 0,
) -> Cut:
    """Cut what `find_detections` found, with the same generator; the rest is as for `cut_frame`."""
    if len(found) == 0:
        empty = np.zeros((0, spec.size, spec.size, 2), np.float16)
        return Cut(
            empty, np.zeros(0, ROW), np.zeros(0, bool), np.zeros((0, AROUND), np.float32), None, None
        )
    labels = np.asarray(found["label"])
    xpeak, ypeak = np.asarray(found["xpeak"], int), np.asarray(found["ypeak"], int)
    x, y = np.asarray(found["x"], float), np.asarray(found["y"], float)
    if rng.random() < 0.25:
        # Some catalogues give the brightest pixel, some a fitted centre.
        x, y = xpeak + rng.uniform(-0.5, 0.5, len(x)), ypeak + rng.uniform(-0.5, 0.5, len(x))
    exposure = with_no_data(as_exposure(frame.image, mask=frame.mask))
    even = as_cut(exposure, spec)
    fwhm, star, population = _seen(frame, even, spec, data, rng)
    given = rng.random() < data.maps_given
    if given:
        even = as_cut(exposure.known(bg=frame.sky, err=frame.noise), spec)
    exposure = even.known(fwhm=fwhm)
    if data.measured > 0 and rng.random() < _WITH_PEAKS:
        x, y = centres(exposure, x, y, xpeak, ypeak, reach=spec.size // 2)
    cutouts = Cutter.prepare(exposure, spec).cut(x, y)
    good = is_scored(cutouts.status)
    rows = np.zeros(int(good.sum()), ROW)
    rows["label"], rows["frame"] = labels[good], index
    rows["x"], rows["y"] = x[good], y[good]
    rows["window_snr"] = cutouts.snr[good]
    rows["snr"] = aperture_snr(frame, xpeak[good], ypeak[good])
    rows["fwhm"], rows["crowding"] = frame.fwhm, frame.crowding
    rows["stamp"] = -1 if star is None else 0
    rows["population"] = -1 if population is None else 0
    pixels = cutouts.pixels[good].astype(np.float16)
    return Cut(pixels, rows, good, cutouts.core[good], star, population)


def _seen(
    frame: Frame, exposure: Exposure, spec: PreprocessSpec, data: DataConfig, rng: np.random.Generator
) -> _Seen:
    """Return FWHM, star and population that rbinfer has of the frame."""
    is_measured = data.measured > 0 and rng.random() < data.measured
    if not is_measured:
        fwhm = _given(frame, data, rng)
        if data.measured == 0 or rng.random() >= _TOLD:
            return _Seen(fwhm, None, None)
        found = measure_psf(exposure)
        return _Seen(fwhm, _star(found, spec, fwhm), found.population)
    found = measure_psf(exposure)
    if found.fwhm is not None:
        return _Seen(found.fwhm, _star(found, spec, found.fwhm), found.population)
    chance = rng.random()
    if chance < _LENT:
        lent = _lent(frame, rng)
        return _Seen(lent.fwhm, _star(lent, spec, lent.fwhm), found.population)
    likely = found.likely_fwhm if spec.likely_width else None
    if chance > _ASSUMED or (likely is None and _narrower_than_assumed(frame)):
        return _Seen(_given(frame, data, rng), None, found.population)
    return _Seen(likely or DEFAULT_FWHM, None, found.population)


def _given(frame: Frame, data: DataConfig, rng: np.random.Generator) -> float:
    """Draw a FWHM as a pipeline or a header notes it."""
    fwhm = frame.fwhm * float(np.exp(rng.normal(0, data.fwhm_scatter)))
    if rng.random() < data.fwhm_excess_fraction:
        fwhm *= float(rng.uniform(*data.fwhm_excess))
    return fwhm


def _lent(frame: Frame, rng: np.random.Generator) -> Width:
    """Return the star as other frames of that camera show it, which have more stars."""
    noise = 0.05 * float(np.nanmedian(frame.noise))
    found = measure_psf(frame.stars + rng.normal(0, noise, frame.stars.shape).astype(np.float32))
    if found.fwhm is not None:
        return measured_width(found)
    wider = PSF.moffat(frame.fwhm).fwhm / frame.fwhm
    psf = PSF.moffat(frame.fwhm / wider)
    return replace(width_of_psf(psf.stamps[0, psf.oversampling**2 // 2]), fwhm=frame.fwhm)


def _narrower_than_assumed(frame: Frame) -> bool:
    """Whether stars of the frame are much narrower than the 3 pixels that it would be cut for.

    They look like hits there; a network that learned to keep them would let in the hits of every dark.
    """
    has_sources = np.isin(frame.truth["type"], ("star", "galaxy")).any()
    return bool(has_sources and frame.fwhm < _NARROW)


def _star(found: FramePsf | Width, spec: PreprocessSpec, fwhm: float) -> F32 | None:
    """Return a star on the grid of cutouts that are made for a FWHM."""
    if found.fwhm is None or found.stamp is None:
        return None
    return star_on_grid(found.stamp, found.fwhm / STAMP_FWHM, spec, fwhm)


def _at_most(labels: I8, data: DataConfig, rng: np.random.Generator) -> NDArray[np.intp]:
    """Choose some rows of each bogus class and of the sources, in their order.

    Stars and galaxies are drawn together: the network has to learn how many galaxies there are among the
    stars of a field.
    """
    order = rng.permutation(len(labels))
    drawn = labels[order]
    chosen = [order[np.isin(drawn, SOURCES)][: data.sources]]
    for i in range(len(CLASSES)):
        if i not in SOURCES:
            chosen.append(order[drawn == i][: data.per_class])
    return np.sort(np.concatenate(chosen))


def aperture_snr(frame: Frame, x: I64, y: I64) -> F64:
    """Light of the 3 x 3 pixels around each, over its expected noise.

    The noise is taken as independent: on an interpolated frame the S/N is too large, by up to 2.2 times
    where the pixels are half the detector's.
    """
    light = around(frame.image, x, y, BOX).astype(float) - around(frame.sky, x, y, BOX)
    snr: F64 = np.nan_to_num(light).sum(axis=0) / (3.0 * frame.noise[y, x])
    return snr
