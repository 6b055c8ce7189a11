"""Frames of nights that change as nights do, and of nights with a fault, by the simulator."""

from dataclasses import dataclass, replace

import numpy as np
from _night_frames import READ_NOISE, SKY, NightMaker, NightPlan, Sky
from astropy.io import fits

from rbtrain.simulate import defects
from rbtrain.simulate.canvas import Canvas
from rbtrain.simulate.detector import photon_noise
from rbtrain.simulate.draws import log_uniforms
from rbtrain.simulate.psf import PSF

NOISE = np.sqrt(SKY + READ_NOISE**2)
BIAS = 200.0
FILTERS = ("L", "R", "B")
#: Seconds between the times of exposure that the shutter measures.
SHUTTER = 0.004


@dataclass(frozen=True)
class Fault:
    """What is wrong with a frame; without arguments, nothing.

    Attributes
    ----------
    defocus : float
        Factor of the FWHM.
    trail : float
        Length in pixels by which the tracking fails.
    hot : int
        Factor of the number of hot pixels.
    leak : float
        Light that comes in at a corner and fades over the frame, in units of the sky.
    gain : float
        Factor of the numbers that an electron gives.
    clear : float
        Share of the light of stars that passes clouds.
    only : str or None
        The filter whose frames have the fault; None for all.
    """

    defocus: float = 1.0
    trail: float = 0.0
    hot: int = 1
    leak: float = 0.0
    gain: float = 1.0
    clear: float = 1.0
    only: str | None = None


FAULTS = {
    "defocus, FWHM x 1.5": Fault(defocus=1.5),
    "defocus, FWHM x 2": Fault(defocus=2.0),
    "defocus, FWHM x 3": Fault(defocus=3.0),
    "defocus in one filter, FWHM x 2": Fault(defocus=2.0, only="R"),
    "tracking, 4 px": Fault(trail=4.0),
    "tracking, 15 px": Fault(trail=15.0),
    "hot pixels x 2": Fault(hot=2),
    "hot pixels x 10": Fault(hot=10),
    "light leak, 3 x the sky in a corner": Fault(leak=3.0),
    "light leak, 6 x the sky in a corner": Fault(leak=6.0),
    "gain x 2": Fault(gain=2.0),
    "gain x 0.5": Fault(gain=0.5),
    "clouds, 10 % of the light": Fault(clear=0.1),
    "clouds, 2 % of the light": Fault(clear=0.02),
}


class ChangingNight(NightMaker):
    """A night of one camera: seeing, sky and transparency wander, targets differ, satellites cross.

    Parameters
    ----------
    seed : int
        Of the night; the detector is that of `camera`.
    camera : int
        Seed of the hot pixels.
    folder : path
    """

    #: Share of frames that a satellite crosses.
    SATELLITES = 0.02

    def __init__(self, seed, camera, folder):
        super().__init__(NightPlan(camera), folder)
        self.rng = np.random.default_rng((seed, camera))
        rng = self.rng
        self.skies = [
            Sky.drawn(replace(self.plan, stars=int(300 * np.exp(rng.normal(0, 0.3)))), rng)
            for _ in range(3)
        ]
        self.seeing, self.level = 3.0 * np.exp(rng.normal(0, 0.1)), SKY * np.exp(rng.normal(0, 0.1))
        self.wander = np.zeros(2)
        self.number = 0

    def frame(self, fault, path):
        """Write the next frame; returns whether a satellite crosses it."""
        rng, number = self.rng, self.number
        self.number += 1
        name = FILTERS[number % len(FILTERS)]
        fault = fault if fault.only in (None, name) else Fault()
        self.wander = 0.9 * self.wander + np.sqrt(1 - 0.9**2) * rng.normal(0, (0.08, 0.08))
        sky = self.skies[number // 20 % len(self.skies)]
        psf = PSF.moffat(float(self.seeing * np.exp(self.wander[0])) * fault.defocus)
        level = self.level * np.exp(self.wander[1])
        image = np.full(self.shape, level, np.float32)
        image += (
            fault.leak
            * level
            * np.outer(np.linspace(1, 0, self.plan.side), np.linspace(1, 0, self.plan.side))
        )
        dx, dy = rng.normal(0, self.plan.dither, 2)
        through = rng.uniform(0.85, 1.0) * fault.clear
        steps = (
            np.linspace(-0.5, 0.5, 2 * int(fault.trail) + 1) * fault.trail
            if fault.trail
            else np.zeros(1)
        )
        for step in steps:
            psf.add_points(
                image, sky.x + dx + step, sky.y + dy + 0.3 * step, sky.flux * through / len(steps), 0.5
            )
        is_crossed = bool(rng.random() < self.SATELLITES)
        self.artefacts(image, psf, "", has_satellite=is_crossed)
        if fault.hot > 1:
            more = Canvas.blank(self.shape)
            charge = NOISE * log_uniforms(rng, (8.0, 400.0), (fault.hot - 1) * self.plan.hot_pixels)
            defects.add_hot_pixels(more, rng, charge, shared=0.15)
            image += more.signal
        taken = BIAS + fault.gain * photon_noise(image, rng, floor=READ_NOISE)
        header = fits.Header()
        header["INSTRUME"] = "Simulated camera"
        header["EXPTIME"] = 120.0 + SHUTTER * (number % 5)
        header["FILTER"], header["IMAGETYP"] = name, "LIGHT"
        fits.writeto(path, np.rint(np.clip(taken, 0, 65535)).astype(np.uint16), header, overwrite=True)
        self.truth.clear()
        return is_crossed
