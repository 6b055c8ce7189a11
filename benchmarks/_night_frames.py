"""A night made by the simulator, with its truth: what is in the sky, on the detector, in one frame."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from rbtrain.simulate import defects, particles, trails
from rbtrain.simulate.canvas import Canvas
from rbtrain.simulate.detector import photon_noise
from rbtrain.simulate.draws import log_uniforms, power_law
from rbtrain.simulate.psf import PSF

SKY, READ_NOISE = 300.0, 8.0  # electrons
NOISE = math.sqrt(SKY + READ_NOISE**2)
FILTERS = ("L", "R", "B")
SILICON = particles.Silicon(pixel=9.0, thickness=15.0, diffusion=0.35)
BEGINNING = datetime(2026, 3, 14, 20, 0, tzinfo=UTC)
SCALE = 1.5 / 3600  # degrees a pixel


@dataclass(frozen=True)
class NightPlan:
    """What a night is like."""

    seed: int
    side: int = 512
    targets: tuple[str, ...] = ("M 31", "NGC 7000")
    per_group: int = 10
    #: Pixels rms of the offsets of frames, and pixels a frame of a steady drift.
    dither: float = 15.0
    drift: float = 0.0
    has_wcs: bool = True
    stars: int = 300
    hot_pixels: int = 250
    cosmic_rays: int = 20
    movers: int = 3
    variables: int = 4


@dataclass(frozen=True)
class Sky:
    """What a target shows: positions in pixels of a frame without an offset, fluxes in electrons."""

    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray
    is_variable: np.ndarray
    movers: np.ndarray  # x, y, pixels a frame in x and y, flux

    @classmethod
    def drawn(cls, plan, rng):
        margin = 80
        low, high = -margin, plan.side + margin
        flux = power_law(rng, 12 * NOISE, 5e4 * NOISE, 0.6, plan.stars)
        x, y = rng.uniform(low, high, (2, plan.stars))
        is_variable = np.zeros(plan.stars, bool)
        is_variable[rng.choice(np.flatnonzero(flux > 60 * NOISE), plan.variables, replace=False)] = True
        movers = np.zeros((plan.movers, 5))
        movers[:, :2] = rng.uniform(0.25 * plan.side, 0.75 * plan.side, (plan.movers, 2))
        speed, angle = rng.uniform(0.5, 2.5, plan.movers), rng.uniform(0, 2 * np.pi, plan.movers)
        movers[:, 2], movers[:, 3] = speed * np.cos(angle), speed * np.sin(angle)
        movers[:, 4] = log_uniforms(rng, (60 * NOISE, 600 * NOISE), plan.movers)
        return cls(x, y, flux, is_variable, movers)


class NightMaker:
    """Writes the files of a night and keeps its truth.

    ``truth`` has a row for all that is in a frame: file, x, y, flux, what it is and its number in the
    night (stars and movers by target, hot pixels by detector).
    """

    def __init__(self, plan, folder):
        self.plan, self.folder = plan, Path(folder)
        self.rng = np.random.default_rng(plan.seed)
        self.shape = (plan.side, plan.side)
        self.hot = Canvas.blank(self.shape)
        charge = NOISE * log_uniforms(self.rng, (8.0, 400.0), plan.hot_pixels)
        defects.add_hot_pixels(self.hot, self.rng, charge, shared=0.15)
        self.truth = []
        self.n_frames = len(plan.targets) * len(FILTERS) * plan.per_group

    def write(self):
        """Write lights, darks and flats; returns the truth as a table."""
        number = 0
        for k, target in enumerate(self.plan.targets):
            sky = Sky.drawn(self.plan, self.rng)
            for turn in range(self.plan.per_group):
                for name in FILTERS:
                    self.light(target, k, sky, number, turn, name)
                    number += 1
        for k in range(4):
            self.calibration("DARK", k, photon_noise(self.hot.signal, self.rng, floor=READ_NOISE))
            flat = np.full(self.shape, 20000.0, np.float32)
            self.calibration("FLAT", k, photon_noise(flat, self.rng, floor=READ_NOISE))
        names = ("file", "x", "y", "flux", "what", "id")
        return Table(rows=self.truth, names=names)

    def light(self, target, which, sky, number, turn, name):
        """Write a light; some frames are trailed, cloudy, or crossed by a satellite."""
        plan, rng = self.plan, self.rng
        within = number % (len(FILTERS) * plan.per_group)
        dx, dy = rng.normal(0, plan.dither, 2) + plan.drift * within * np.array([1.0, 0.4])
        psf = PSF.moffat(rng.uniform(2.4, 3.6))
        through = 0.06 if number == 17 else rng.uniform(0.85, 1.0)
        is_trailed = number == 40
        image = np.full(self.shape, SKY, np.float32)
        flux = sky.flux * through
        dims = sky.is_variable & (rng.random(len(flux)) < 0.5)
        flux[dims] *= 0.02
        points = [
            ("star", i, x, y, f) for i, (x, y, f) in enumerate(zip(sky.x, sky.y, flux, strict=True))
        ]
        for i, (x, y, vx, vy, f) in enumerate(sky.movers):
            points.append(("mover", i, x + vx * within, y + vy * within, f * through))
        self.paint(image, psf, points, (dx, dy), is_trailed)
        file = f"{target.replace(' ', '')}_{name}_{number:03d}.fits"
        for what, i, x, y, f in points:
            if -5 < x + dx < plan.side + 5 and -5 < y + dy < plan.side + 5:
                self.truth.append((file, x + dx, y + dy, f, what, which * 10000 + i))
        self.artefacts(image, psf, file, has_satellite=number == 23)
        hours = number * 2.5 / 60
        header = self.header(target, name, hours, "LIGHT", 120.0)
        if plan.has_wcs:
            header.update(self.wcs(which, dx, dy))
        self.save(Path(target) / "LIGHT", file, photon_noise(image, rng, floor=READ_NOISE), header)

    def paint(self, image, psf, points, offset, is_trailed):
        """Add stars and movers, drawn out where the frame is trailed."""
        x, y, flux = (np.array([p[k] for p in points]) for k in (2, 3, 4))
        steps = np.linspace(-9, 9, 37) if is_trailed else np.zeros(1)
        for step in steps:
            psf.add_points(
                image, x + offset[0] + step, y + offset[1] + 0.4 * step, flux / len(steps), 0.5
            )

    def artefacts(self, image, psf, file, has_satellite):
        """Add what is of the detector, of particles and of a satellite."""
        rng, side = self.rng, self.plan.side
        canvas = Canvas.blank(self.shape)
        n = rng.poisson(self.plan.cosmic_rays)
        muons = int(rng.binomial(n, 0.5))
        particles.add_muons(canvas, rng, muons, SILICON)
        particles.add_electrons(canvas, rng, n - muons, SILICON, (3.0, 200.0))
        if has_satellite:
            ends = side * rng.uniform(0, 0.3, 2) + (0, 0.6 * side)
            trails.add_trail(canvas, rng, psf, (-50, ends[0]), (side + 50, ends[1]), peak=20 * NOISE)
            for x in np.arange(0, side, 2.0):
                y = ends[0] + (ends[1] - ends[0]) * (x + 50) / (side + 100)
                self.truth.append((file, x, y, 20 * NOISE, "satellite", -1))
        image += canvas.signal + self.hot.signal
        for kind, x, y, flux in canvas.truth:
            self.truth.append((file, x, y, flux, kind, -1))
        for k, (_, x, y, flux) in enumerate(self.hot.truth):
            self.truth.append((file, x, y, flux, "hot_pixel", k))

    def header(self, target, name, hours, kind, seconds):
        header = fits.Header()
        header["IMAGETYP"], header["INSTRUME"], header["EXPTIME"] = kind, "Simulated camera", seconds
        header["DATE-OBS"] = (BEGINNING + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        if kind == "LIGHT":
            header["OBJECT"], header["FILTER"] = target, name
        return header

    def wcs(self, which, dx, dy):
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.crval = [20.0 + 40.0 * which, 35.0]
        wcs.wcs.crpix = [self.plan.side / 2 + dx, self.plan.side / 2 + dy]
        wcs.wcs.cd = [[-SCALE, 0], [0, SCALE]]
        return wcs.to_header()

    def calibration(self, kind, number, image):
        header = self.header("", "", -1.0 + number / 60, kind, 120.0)
        self.save(Path(kind), f"{kind.lower()}_{number}.fits", image + 100.0, header)

    def save(self, below, file, image, header):
        place = self.folder / below
        place.mkdir(parents=True, exist_ok=True)
        fits.writeto(place / file, np.rint(np.clip(image, 0, 65535)).astype(np.uint16), header)
