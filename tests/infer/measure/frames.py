"""Frames of known stars, drawn slowly and plainly."""

import math

import numpy as np

SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
SKY, NOISE = 300.0, 6.0
_erf = np.vectorize(math.erf)


def integrated(centre, sigma, n):
    """Integrate a Gaussian of unit area over the pixels 0 to n - 1 of one axis."""
    edges = np.arange(n + 1) - 0.5
    return np.diff(0.5 * _erf((edges - centre) / (math.sqrt(2.0) * sigma)))


def gaussian_stamp(side, x, y, fwhm, flux=1.0):
    """Return a round Gaussian integrated over the pixels, centred x, y pixels from the middle."""
    middle = side // 2
    by_x, by_y = (integrated(middle + c, fwhm / SIGMA, side) for c in (x, y))
    return flux * by_y[:, None] * by_x[None, :]


def fine_stamp(profile, side, x, y, over=11):
    """Integrate ``profile(dx, dy)`` over the pixels of a stamp by samples."""
    fine = (np.arange(side * over) + 0.5) / over - 0.5 - side // 2
    values = profile(fine[None, :] - x, fine[:, None] - y)
    return values.reshape(side, over, side, over).mean(axis=(1, 3))


def ellipse(fwhm, ratio, angle):
    """Return an elliptical Gaussian of unit height whose axes have the product ``fwhm**2``."""
    long, short = fwhm / math.sqrt(ratio) / SIGMA, fwhm * math.sqrt(ratio) / SIGMA

    def profile(dx, dy):
        along, across = (
            dx * math.cos(angle) + dy * math.sin(angle),
            dy * math.cos(angle) - dx * math.sin(angle),
        )
        return np.exp(-0.5 * ((along / long) ** 2 + (across / short) ** 2))

    return profile


def moffat(fwhm, beta=3.5):
    scale = fwhm / (2.0 * math.sqrt(2.0 ** (1.0 / beta) - 1.0))
    return lambda dx, dy: (1.0 + (dx * dx + dy * dy) / scale**2) ** -beta


def peaks(rng, n, low=12.0, high=800.0):
    """Draw heights over the noise, many of them small."""
    return NOISE * low * (1.0 - rng.random(n) * (1.0 - (low / high) ** 0.8)) ** (-1 / 0.8)


def add(image, stamp, row, column):
    """Add a stamp around a pixel, as far as it is on the image."""
    r = stamp.shape[0] // 2
    top, left = max(row - r, 0), max(column - r, 0)
    part = stamp[top - row + r :, left - column + r :][: image.shape[0] - top, : image.shape[1] - left]
    image[top : top + part.shape[0], left : left + part.shape[1]] += part


def star_frame(rng, n, fwhm=None, profile=None, size=400):
    """Return sky with stars: round Gaussians of a FWHM, or of a profile of unit height."""
    image = rng.normal(SKY, NOISE, (size, size))
    for peak in peaks(rng, n):
        y, x = rng.uniform(0, size - 1, 2)
        row, column = round(y), round(x)
        side = 2 * math.ceil(2.5 * (fwhm or 14.0)) + 5
        if profile is None:
            stamp = gaussian_stamp(side, x - column, y - row, fwhm)
        else:
            stamp = fine_stamp(profile, side, x - column, y - row, over=5)
        add(image, peak / stamp.max() * stamp, row, column)
    return image.astype(np.float32)


def add_hot_pixels(rng, image, n, leak=0.0):
    """Add hot pixels, with a part of each in its four neighbours."""
    rows, columns = rng.integers(2, np.array(image.shape)[:, None] - 2, (2, n))
    for row, column, peak in zip(rows, columns, peaks(rng, n), strict=True):
        image[row, column] += peak
        for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            image[row + dy, column + dx] += leak * peak


def add_tracks(rng, image, n):
    """Add tracks of all lengths and directions, some of them only a spot."""
    for peak in peaks(rng, n):
        length, angle = rng.exponential(2.5), rng.uniform(0, math.pi)
        y, x = rng.uniform(8, np.array(image.shape) - 8)
        for s in np.arange(0, length + 0.1, 0.25):
            stamp = gaussian_stamp(9, 0.0, 0.0, rng.uniform(0.5, 1.2))
            add(image, peak * stamp, round(y + s * math.sin(angle)), round(x + s * math.cos(angle)))


def slow_fit(stamp, weights, sigma):
    """Fit flux, x, y, log sigma and sky by Gauss and Newton, derivatives by differences."""

    def model(p):
        return p[0] * gaussian_stamp(stamp.shape[0], p[1], p[2], SIGMA * math.exp(p[3])) + p[4]

    p = np.array([stamp.sum(), 0.0, 0.0, math.log(sigma), 0.0])
    steps = np.array([1e-4 * abs(p[0]), 1e-5, 1e-5, 1e-5, 1e-4])

    def cost(p):
        return float((weights * (stamp - model(p)) ** 2).sum())

    damping = 1e-3
    for _ in range(60):
        left = (stamp - model(p)).ravel()
        columns = [((model(p + s * e) - model(p - s * e)) / (2 * s)).ravel()
                   for s, e in zip(steps, np.eye(5), strict=True)]  # fmt: skip
        jacobian = np.stack(columns, axis=1)
        normal = jacobian.T @ (weights.ravel()[:, None] * jacobian)
        right = jacobian.T @ (weights.ravel() * left)
        new = p + np.linalg.solve(normal + damping * np.diag(np.diag(normal)), right)
        if cost(new) <= cost(p):
            p, damping = new, damping * 0.3
        else:
            damping *= 10.0
    return p, cost(p)
