"""Frames of nights that change as nights do, and of nights with a fault, by the simulator."""

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

import numpy as np
from _night_frames import BEGINNING, READ_NOISE, SKY, NightMaker, NightPlan, Sky
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


@dataclass
class Target:
    """Where the telescope points.

    Attributes
    ----------
    name : str
    sky : Sky
    airmass, change : float
        Of the first frame, and what a frame adds.
    glow : float
        Factor of the sky's light there.
    """

    name: str
    sky: Sky
    airmass: float
    change: float
    glow: float

    @classmethod
    def drawn(cls, plan, rng, name):
        plan = replace(plan, stars=int(plan.stars * np.exp(rng.normal(0, 0.3))))
        sky = Sky.drawn(plan, rng)
        airmass, change = np.exp(rng.uniform(0.0, np.log(1.8))), rng.uniform(-0.015, 0.015)
        return cls(name, sky, float(airmass), float(change), float(np.exp(rng.normal(0, 0.05))))

    def at(self, number):
        """Return the airmass of the frame `number` of this target."""
        return float(np.clip(self.airmass + self.change * number, 1.0, 2.2))


class ChangingNight(NightMaker):
    """A night of one camera: seeing, sky and transparency wander, targets differ, satellites cross.

    The seeing grows with the airmass by the power 0.6 (Fried 1966, JOSA 56, 1372), the sky by 0.3 of
    what is beyond 1, and the atmosphere takes 0.15 mag an airmass.

    Parameters
    ----------
    seed : int
        Of the night; the detector is that of `camera`.
    camera : int
        Seed of the hot pixels. The headers of even ones note target and airmass.
    folder : path
    """

    #: Small, as some thousand frames are drawn.
    PLAN = partial(NightPlan, side=320, hot_pixels=100, cosmic_rays=8)
    #: Stars of the fields of a camera, most too faint to be detected: 20, 40 or 80 real ones are.
    STARS = (160, 320, 640)
    #: Share of frames that a satellite crosses, and how many frames of a target follow one another.
    SATELLITES, TURN = 0.02, 20

    def __init__(self, seed, camera, folder):
        super().__init__(self.PLAN(camera, stars=self.STARS[camera % len(self.STARS)]), folder)
        self.rng = np.random.default_rng((seed, camera))
        rng = self.rng
        self.tells = camera % 2 == 0
        self.targets = [Target.drawn(self.plan, rng, f"Target {k}") for k in range(3)]
        self.seeing, self.level = 2.7 * np.exp(rng.normal(0, 0.12)), SKY * np.exp(rng.normal(0, 0.1))
        self.wander = np.zeros(2)
        self.number = 0

    def frame(self, fault, path):
        """Write the next frame; returns whether a satellite crosses it."""
        rng, number = self.rng, self.number
        self.number += 1
        name = FILTERS[number % len(FILTERS)]
        fault = fault if fault.only in (None, name) else Fault()
        self.wander = 0.9 * self.wander + np.sqrt(1 - 0.9**2) * rng.normal(0, (0.08, 0.08))
        target = self.targets[number // self.TURN % len(self.targets)]
        airmass, sky = target.at(number % self.TURN), target.sky
        seeing = self.seeing * np.exp(self.wander[0]) * airmass**0.6
        psf = PSF.moffat(float(seeing * fault.defocus))
        level = self.level * np.exp(self.wander[1]) * target.glow * (1 + 0.3 * (airmass - 1))
        image = np.full(self.shape, level, np.float32)
        image += (
            fault.leak
            * level
            * np.outer(np.linspace(1, 0, self.plan.side), np.linspace(1, 0, self.plan.side))
        )
        dx, dy = rng.normal(0, self.plan.dither, 2)
        through = rng.uniform(0.85, 1.0) * fault.clear * 10 ** (-0.4 * 0.15 * (airmass - 1))
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
        header["DATE-OBS"] = (BEGINNING + timedelta(minutes=2.5 * number)).strftime("%Y-%m-%dT%H:%M:%S")
        if self.tells:
            header["OBJECT"], header["AIRMASS"] = target.name, round(airmass, 3)
        fits.writeto(path, np.rint(np.clip(taken, 0, 65535)).astype(np.uint16), header, overwrite=True)
        self.truth.clear()
        return is_crossed
