"""The FWHM of the stars in an image, from a list of positions that may be mostly artefacts.

A median width would do for a clean catalogue; in one full of hot pixels and cosmic rays it is the
width of those. So each position is judged by its own pixels first: a star is smooth, so all four
neighbours of its brightest pixel rise with it, and it is about as wide in all directions as the
others are. The widths of stars then agree with one another as those of nothing else do: the most
populated narrow locus of the log width is the PSF.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..io.arrays import noise_of_steps, spread_over, values_at

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MAX_POSITIONS = 4000  # more are thinned out before any pixel work,
_MAX_STARS = 500  # and of the smooth ones the brightest are measured
_MIN_STARS = 5
_MIN_SNR = 12.0  # of the brightest pixel; below, the half maximum drowns in noise
_REACH = 14  # pixels that a profile is followed from its peak; FWHM up to about 20
_SHARP = 1.9  # FWHM below this occurs among cosmic rays too
_SHARPEST = 1.05  # no telescope's stars are sharper, but diffused cosmic rays are
_COMPACT = 0.55  # share of a group within 10 % of its width; an even spread has 0.29
_FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))
_PIXEL = _FWHM_PER_SIGMA / np.sqrt(12.0)  # what integration over the pixel adds in quadrature
_RAYS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1))


@dataclass(frozen=True)
class FwhmEstimate:
    """What `estimate_fwhm` found.

    Attributes
    ----------
    fwhm : float or None
        FWHM of the optical PSF (before integration over the pixel) in pixels; geometric mean of
        the two axes. None when it could not be measured.
    n_stars : int
        Star-like detections that it rests on.
    scatter : float
        Their relative scatter; NaN when there is no measurement.
    reason : str
        Why there is no measurement; empty when there is one.
    """

    fwhm: float | None
    n_stars: int
    scatter: float
    reason: str = ""


@dataclass(frozen=True)
class _Pixels:
    """Pixels by index; what is off the image, masked or not finite reads as NaN."""

    data: NDArray[np.float32]
    mask: NDArray[np.bool_] | None

    def around(self, y: Ints, x: Ints, dy: Ints, dx: Ints) -> NDArray[np.float32]:
        return values_at(self.data, self.mask, y[:, None] + dy, x[:, None] + dx)


@dataclass(frozen=True)
class _Peaks:
    """Local maxima: place, height above the sky, sky, and pixel noise."""

    y: Ints
    x: Ints
    height: Floats
    sky: Floats
    noise: float

    def __getitem__(self, rows: NDArray[np.bool_] | Ints) -> "_Peaks":
        return _Peaks(self.y[rows], self.x[rows], self.height[rows], self.sky[rows], self.noise)


@dataclass(frozen=True)
class _Cores:
    """Gaussian fits to the cores of peaks."""

    log_fwhm: Floats
    ellipticity: Floats  # shape (n, 2): along the axes and along the diagonals
    residual: Floats  # rms over the fitted height
    height: Floats  # over the height of the brightest pixel
    dy: Floats  # of the centre from the brightest pixel
    dx: Floats


def estimate_fwhm(
    image: NDArray[np.float32],
    x: ArrayLike,
    y: ArrayLike,
    mask: NDArray[np.bool_] | None = None,
    saturation: float | None = None,
    min_stars: int = _MIN_STARS,
) -> FwhmEstimate:
    """Measure the FWHM of the stars among a list of positions.

    The result does not depend on the order of the positions.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        The image, with its background; C-contiguous.
    x, y : array_like of float, shape (n,)
        0-based positions in pixels. Those that are not finite or off the image are ignored.
    mask : ndarray of bool, shape (ny, nx), optional
        True for bad pixels.
    saturation : float, optional
        Peaks at or above it are left out. Without it, a level that several peaks share is taken
        for saturation.
    min_stars : int
        Fewer star-like detections than this that agree are no measurement.

    Returns
    -------
    FwhmEstimate
        With ``fwhm`` None and the reason when fewer than `min_stars` star-like detections agree.

    Raises
    ------
    InputError
        `x` and `y` differ in shape, or the image is not 2-D.
    """
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if xs.shape != ys.shape or xs.ndim != 1:
        raise InputError(f"x and y must be 1-D and of one length, not {xs.shape} and {ys.shape}")
    if image.ndim != 2:
        raise InputError(f"the image must be 2-D, not {image.ndim}-D")
    pixels = _Pixels(image, mask)
    peaks = _smooth_peaks(pixels, xs, ys, saturation)
    if len(peaks.x) < min_stars:
        what = "bright, unsaturated peaks with raised neighbours on all sides"
        return _unknown(len(peaks.x), what, min_stars)
    log_fwhm, round_ones = _half_maximum_widths(pixels, peaks)
    # The rays cannot resolve small peaks; a fit measures them and tells them from a star.
    small = np.flatnonzero(round_ones & (log_fwhm < np.log(2.6)))
    cores = _fit_cores(pixels, peaks[small], 1.0)
    log_fwhm[small] = cores.log_fwhm
    round_ones[small] = _alike(cores) & (cores.residual < 0.12)
    peaks, log_fwhm = peaks[round_ones], log_fwhm[round_ones]
    if len(log_fwhm) < min_stars:
        return _unknown(len(log_fwhm), "round, smooth peaks", min_stars)
    locus = _stellar_locus(log_fwhm, min_stars)
    if locus is None:
        return FwhmEstimate(
            None, 0, float("nan"), f"the widths of {len(log_fwhm)} smooth peaks do not agree"
        )
    peaks = peaks[np.abs(log_fwhm - locus) < 0.2]
    cores = _fit_cores(pixels, peaks, max(0.5 * np.hypot(np.exp(locus), _PIXEL), 1.0))
    used = np.isfinite(cores.log_fwhm)
    if used.any():
        used &= cores.residual <= max(3.0 * float(np.median(cores.residual[used])), 0.05)
    centre, scatter, used = _clip(cores.log_fwhm, used)
    if used.sum() < min_stars:
        return _unknown(int(used.sum()), "peaks with the profile of a star", min_stars)
    fwhm = float(np.exp(centre))
    if fwhm < 3.0:
        fwhm = _without_wings(fwhm, _wing(pixels, peaks, cores, used))
    if fwhm < _SHARPEST:
        return FwhmEstimate(
            None,
            int(used.sum()),
            float("nan"),
            f"the smooth peaks are {fwhm:.2f} pixels wide, as cosmic rays are and stars are not",
        )
    return FwhmEstimate(fwhm, int(used.sum()), scatter)


def _alike(cores: _Cores) -> NDArray[np.bool_]:
    """Tell which cores are round, or elongated as most others are."""
    known = np.isfinite(cores.log_fwhm)
    if not known.any():
        return known
    common = np.median(cores.ellipticity[known], axis=0)
    length = np.hypot(*cores.ellipticity.T)
    apart = np.hypot(*(cores.ellipticity - common).T)
    alike: NDArray[np.bool_] = known & ((length < 0.4) | (apart < 0.3))
    return alike


def _unknown(n: int, what: str, needed: int) -> FwhmEstimate:
    return FwhmEstimate(None, n, float("nan"), f"only {n} {what}, {needed} are needed")


def _grid(radius: int) -> tuple[Ints, Ints]:
    offsets = np.arange(-radius, radius + 1)
    dy, dx = np.meshgrid(offsets, offsets, indexing="ij")
    return dy.ravel(), dx.ravel()


def _smooth_peaks(pixels: _Pixels, x: Floats, y: Floats, saturation: float | None) -> _Peaks:
    """Find the brightest pixel at each position and keep those whose four neighbours rise too."""
    ny, nx = pixels.data.shape
    # Compared before the cast, which is undefined for NaN and 1e300.
    inside = (x > 0.5) & (x < nx - 1.5) & (y > 0.5) & (y < ny - 1.5)
    # Unique also sorts, so that the order of the rows cannot matter.
    where = np.unique(np.rint(y[inside]).astype(np.int64) * nx + np.rint(x[inside]).astype(int))
    if len(where) > _MAX_POSITIONS:
        value = values_at(pixels.data, pixels.mask, where // nx, where % nx)
        where = where[np.argsort(value, kind="stable")]
        where = where[np.linspace(0, len(where) - 1, _MAX_POSITIONS).astype(int)]
    dy, dx = _grid(2)
    near = pixels.around(where // nx, where % nx, dy, dx)
    step = np.where(np.isnan(near), -np.inf, near).argmax(axis=1)
    where = np.unique(where + dy[step] * nx + dx[step])
    py, px = where // nx, where % nx
    dy, dx = _grid(1)
    box = pixels.around(py, px, dy, dx)
    peak = box[:, 4]
    # NaN compares false: a bad pixel in the box drops the peak.
    top = np.all(box <= peak[:, None], axis=1)
    level = _shared_level(peak[top]) if saturation is None else saturation
    top &= peak < level
    py, px, box, peak = py[top], px[top], box[top], peak[top]
    noise = noise_of_steps(pixels.data, pixels.mask, *spread_over(pixels.data.shape, 20_000))
    sky = _sky(pixels, py, px)
    height = peak - sky
    neighbours = (box[:, [1, 3, 5, 7]] - sky[:, None]).min(axis=1)
    keep = (height > _MIN_SNR * noise) & (neighbours > np.maximum(3.0 * noise, 0.03 * height))
    rows = np.flatnonzero(keep)
    rows = rows[np.argsort(-height[rows], kind="stable")[:_MAX_STARS]]
    return _Peaks(py[rows], px[rows], height[rows], sky[rows], noise)


def _shared_level(peak: NDArray[np.float32]) -> float:
    """Return the level that the brightest peaks share when they are clipped, else infinity."""
    if len(peak) == 0:
        return np.inf
    top = float(peak.max())
    level = top - 0.005 * abs(top)
    return level if np.count_nonzero(peak >= level) >= 3 else np.inf


def _sky(pixels: _Pixels, y: Ints, x: Ints) -> Floats:
    """Return the local sky: a low quantile of two rings, for other stars lie on them too."""
    angle = np.arange(24) * (2.0 * np.pi / 24)
    radius = np.where(np.arange(24) % 2, 16, 21)
    dy, dx = np.rint(radius * np.sin(angle)), np.rint(radius * np.cos(angle))
    ring = pixels.around(y, x, dy.astype(np.int64), dx.astype(np.int64))
    ring.sort(axis=1)  # NaN last
    good = np.count_nonzero(~np.isnan(ring), axis=1)
    rank = np.clip((0.42 * good).astype(int), 0, 23)
    return np.take_along_axis(ring, rank[:, None], axis=1)[:, 0].astype(np.float64)


def _half_maximum_widths(pixels: _Pixels, peaks: _Peaks) -> tuple[Floats, NDArray[np.bool_]]:
    """Follow each peak in eight directions down to half its height.

    Returns
    -------
    log_fwhm : ndarray of float64, shape (n,)
        Log of the FWHM in pixels, less the integration over the pixel; a rough one. NaN when the
        peak does not end within reach.
    is_round : ndarray of bool, shape (n,)
        True where the widths of the axes agree, with one another or with those of most others
        (stars are trailed alike when the telescope did not follow), and no side is far from its
        opposite.
    """
    n = len(peaks.x)
    half = np.empty((n, 8))
    rows = np.arange(n)
    for k, (dx, dy) in enumerate(_RAYS):
        unit = np.hypot(dx, dy)
        steps = np.arange(int(_REACH / unit) + 1)
        ray = pixels.around(peaks.y, peaks.x, dy * steps, dx * steps)
        level = (ray - peaks.sky[:, None]) / peaks.height[:, None]
        below = level < 0.5
        end = below.argmax(axis=1)
        found = below.any(axis=1)
        outer = level[rows, end]
        inner = level[rows, np.maximum(end - 1, 0)]
        with np.errstate(invalid="ignore", divide="ignore"):
            crossing = end - 1 + (inner - 0.5) / (inner - outer)
        half[:, k] = np.where(found, crossing * unit, np.nan)
    widths = half[:, ::2] + half[:, 1::2]
    log_axes = np.log(np.maximum(widths, 0.1))
    log_width = log_axes.mean(axis=1)
    shape = log_axes - log_width[:, None]
    known = np.isfinite(log_width)
    common = np.median(shape[known], axis=0) if known.any() else np.zeros(4)
    with np.errstate(invalid="ignore"):
        alike = (np.ptp(shape, axis=1) < 0.6) | (np.ptp(shape - common, axis=1) < 0.4)
        lopsided = np.abs(half[:, ::2] - half[:, 1::2]).max(axis=1) / np.exp(log_width)
        is_round = known & alike & (lopsided < 0.6)
        squared = np.exp(2.0 * log_width) - _PIXEL**2
    return 0.5 * np.log(np.maximum(squared, 0.1)), is_round


def _fit_cores(pixels: _Pixels, peaks: _Peaks, radius: float) -> _Cores:
    """Fit a Gaussian to the pixels within `radius` of each peak.

    The logarithm of a Gaussian is a paraboloid, so the fit is linear; the weights are the squares
    of the model, those of equal noise in every pixel.
    """
    reach = max(1, int(radius + 0.3))
    dy, dx = _grid(reach)
    if reach > 1:
        inside = dx * dx + dy * dy <= (radius + 0.3) ** 2
        dy, dx = dy[inside], dx[inside]
    level = pixels.around(peaks.y, peaks.x, dy, dx) - peaks.sky[:, None]
    level /= peaks.height[:, None]
    with np.errstate(invalid="ignore"):
        usable = level > 0.02
    level = np.where(usable, level, 1.0)
    log_level = np.log(level)
    terms = np.stack([np.ones(len(dx)), dx, dy, dx * dx, dy * dy, dx * dy], axis=1)
    products = (terms[:, :, None] * terms[:, None, :]).reshape(len(dx), 36)
    model = level
    for _ in range(2):
        weight = np.where(usable, model * model, 0.0)
        normal = (weight @ products).reshape(-1, 6, 6) + 1e-9 * np.eye(6)
        right = (weight * log_level) @ terms
        fit = np.linalg.solve(normal, right[:, :, None])[:, :, 0]
        model = np.exp(np.clip(fit @ terms.T, -9.0, 1.0))
    c, bx, by, cxx, cyy, cxy = fit.T
    det = 4.0 * cxx * cyy - cxy * cxy
    good = (det > 1e-9) & (cxx < 0) & (cyy < 0) & (usable.mean(axis=1) > 0.8)
    det = np.where(good, det, 1.0)
    sxx, syy, sxy = -2.0 * cyy / det, -2.0 * cxx / det, cxy / det
    # Integration over the pixel adds 1/12 to the variance along each axis.
    core = np.sqrt(np.maximum(sxx * syy - sxy * sxy, 0.0)) - 1.0 / 12.0
    good &= core > 0.01
    x0, y0 = sxx * bx + sxy * by, sxy * bx + syy * by
    mean = np.where(good, 0.5 * (sxx + syy), 1.0)
    error = np.where(usable, level - model, 0.0)
    freedom = np.maximum(usable.sum(axis=1) - 6, 1)
    return _Cores(
        log_fwhm=np.where(good, np.log(_FWHM_PER_SIGMA * np.sqrt(np.where(good, core, 1.0))), np.nan),
        ellipticity=np.stack([0.5 * (sxx - syy), sxy], axis=1) / mean[:, None],
        residual=np.sqrt((error * error).sum(axis=1) / freedom),
        height=np.exp(np.clip(c + 0.5 * (bx * x0 + by * y0), -3.0, 3.0)),
        dy=y0,
        dx=x0,
    )


@dataclass(frozen=True)
class _Group:
    """Peaks of about one width."""

    log_fwhm: float
    density: float
    compactness: float  # how many of those within 35 % lie within 10 %


def _groups(log_fwhm: Floats, min_stars: int) -> list[_Group]:
    """Find the local maxima of the density of the log widths, densest first."""
    start, step, smooth = np.log(0.3), 0.01, 6
    bins = np.clip(((log_fwhm - start) / step).astype(int), 0, 460)
    count = np.bincount(bins, minlength=461).astype(np.float64)
    kernel = np.exp(-0.5 * (np.arange(-3 * smooth, 3 * smooth + 1) / smooth) ** 2)
    density = np.convolve(count, kernel, mode="same")
    inner = density[1:-1]
    tops = 1 + np.flatnonzero((inner >= density[:-2]) & (inner > density[2:]))
    found = []
    for top in tops[np.argsort(-density[tops], kind="stable")]:
        centre = float(start + (top + 0.5) * step)
        away = np.abs(log_fwhm - centre)
        compactness = np.count_nonzero(away < 0.1) / np.count_nonzero(away < 0.35)
        # A spread group may be blends and a sharp one cosmic rays, so they must be larger.
        sure = compactness > (_COMPACT if centre >= np.log(_SHARP) else 0.75)
        if np.count_nonzero(away < 0.15) >= (min_stars if sure else 2 * min_stars):
            found.append(_Group(centre, float(density[top]), compactness))
    return found


def _stellar_locus(log_fwhm: Floats, min_stars: int) -> float | None:
    """Find the log width at which the stars are.

    Stars are a compact group; galaxies, blends and cosmic rays are spread. Nothing is sharper than
    the PSF, so beside a compact group of wide peaks the sharp ones are cosmic rays, and among wide
    groups the sharper one is the stars.
    """
    groups = _groups(log_fwhm, min_stars)
    limit = np.log(_SHARP)
    sharp = next((g for g in groups if g.log_fwhm < limit and g.compactness > _COMPACT), None)
    wide = [g for g in groups if g.log_fwhm >= limit]
    if not wide:
        return sharp.log_fwhm if sharp else None
    compact = [g for g in wide if g.compactness > _COMPACT and g.density > 0.4 * wide[0].density]
    best = min(compact, key=lambda g: g.log_fwhm) if compact else wide[0]
    if sharp is None or best.density > sharp.density:
        return best.log_fwhm
    stars = best.density > 0.35 * sharp.density and best.compactness > sharp.compactness - 0.05
    return best.log_fwhm if stars and compact else sharp.log_fwhm


def _clip(log_fwhm: Floats, used: NDArray[np.bool_]) -> tuple[float, float, NDArray[np.bool_]]:
    """Return the clipped median, the scatter around it and what was kept."""
    centre, scatter = 0.0, float("nan")
    for _ in range(4):
        if not used.any():
            break
        centre = float(np.median(log_fwhm[used]))
        scatter = 1.4826 * float(np.median(np.abs(log_fwhm[used] - centre)))
        with np.errstate(invalid="ignore"):
            used = used & (np.abs(log_fwhm - centre) <= max(2.5 * scatter, 0.03))
    return centre, scatter, used


def _wing(pixels: _Pixels, peaks: _Peaks, cores: _Cores, used: NDArray[np.bool_]) -> float:
    """Return the median level at 1.75 to 2.75 pixels from the centre, over the height."""
    bright = np.flatnonzero(used & (peaks.height > 30.0 * peaks.noise))
    if len(bright) < _MIN_STARS:
        bright = np.flatnonzero(used)
    dy, dx = _grid(3)
    few = peaks[bright]
    level = pixels.around(few.y, few.x, dy, dx) - few.sky[:, None]
    away = np.hypot(dy - cores.dy[bright, None], dx - cores.dx[bright, None])
    level = np.where((away > 1.75) & (away < 2.75), level, np.nan)
    level = level / (few.height * cores.height[bright])[:, None]
    return float(np.nanmedian(np.nanmean(level, axis=1)))


def _without_wings(fwhm: float, wing: float) -> float:
    """Correct the FWHM of a core fit that had to include the wings.

    When the PSF is as small as the pixels, the fit reaches beyond the half maximum, where a Moffat
    profile is above the Gaussian of the same core. The excess at two pixels tells how far: the
    relation was fitted to noise-free Gaussians and Moffat profiles (beta 2.5, 3.5, 5) of FWHM 1 to
    3 and holds to 3 %.
    """
    variance = (fwhm / _FWHM_PER_SIGMA) ** 2 + 1.0 / 12.0
    gaussian = 1.2 * float(np.exp(-0.5 * 2.25**2 / variance))
    excess = float(np.sqrt(np.clip(wing - gaussian, 0.0, 0.05)))
    true = fwhm
    for _ in range(20):
        true = max(fwhm / (1.0 + 1.54 * (1.2 / true) ** 2.7 * excess), 0.7 * fwhm)
    return true
