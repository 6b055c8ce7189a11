"""Nights of many large frames, made fast: scenes drawn once, shifted, with noise of their own."""

import os
from pathlib import Path

import numpy as np
from _night_frames import FILTERS, READ_NOISE, SILICON, SKY, NightMaker, NightPlan, Sky

from rbtrain.simulate import particles
from rbtrain.simulate.canvas import Canvas
from rbtrain.simulate.psf import PSF

#: FWHM in each filter, pixels.
WIDTHS = dict(zip(FILTERS, (2.6, 3.0, 3.4), strict=True))
_MARGIN = 80  # pixels that a frame is shifted by at most
_LAYERS = 8  # of cosmic rays, which are rolled
_SECONDS = 30.0  # from frame to frame


def large_plan(side, n_frames):
    """Return the plan of a night of `n_frames` or two more; what is in one grows with its area."""
    area = (side / 2048) ** 2
    return NightPlan(
        7,
        side=side,
        targets=("M 31",),
        per_group=-(-n_frames // len(FILTERS)),
        stars=round(1500 * area),
        hot_pixels=round(1000 * area),
        cosmic_rays=round(100 * area),
    )


class LargeNightMaker(NightMaker):
    """Writes frames of one target, in turns of the filters, without movers and without a truth.

    What a frame shows depends on the plan and its number alone, so that making them may be interrupted.
    """

    def write(self, wrap=iter):
        """Write the frames that are not there yet.

        Parameters
        ----------
        wrap : callable
            Takes the numbers of frames and yields them, to show how far it is.

        Returns
        -------
        list of Path
            All frames, in the order of time.
        """
        plan = self.plan
        paths = [self.folder / f"{k:05d}_{FILTERS[k % len(FILTERS)]}.fits" for k in range(self.n_frames)]
        missing = [k for k, path in enumerate(paths) if not path.exists()]
        if missing:
            sky = Sky.drawn(plan, self.rng)
            scenes = {name: self._scene(sky, width) for name, width in WIDTHS.items()}
            layers = [self._particles() for _ in range(_LAYERS)]
            for number in wrap(missing):
                self._frame(paths[number], number, scenes, layers)
        return paths

    def _scene(self, sky, width):
        """Draw sky and stars, wider than a frame by the margin; electrons."""
        side = self.plan.side + 2 * _MARGIN
        scene = np.full((side, side), SKY, np.float32)
        PSF.moffat(width).add_points(scene, sky.x + _MARGIN, sky.y + _MARGIN, sky.flux, 0.5)
        return scene

    def _particles(self):
        canvas, n = Canvas.blank(self.shape), self.plan.cosmic_rays
        particles.add_muons(canvas, self.rng, n // 2, SILICON)
        particles.add_electrons(canvas, self.rng, n - n // 2, SILICON, (3.0, 200.0))
        return canvas.signal

    def _frame(self, path, number, scenes, layers):
        plan, rng = self.plan, np.random.default_rng([self.plan.seed, number])
        dx, dy = np.rint(rng.normal(0, plan.dither, 2).clip(-_MARGIN, _MARGIN)).astype(int)
        name = FILTERS[number % len(FILTERS)]
        rows, columns = (slice(_MARGIN - d, _MARGIN - d + plan.side) for d in (dy, dx))
        image = scenes[name][rows, columns] + self.hot.signal
        image += np.roll(layers[rng.integers(_LAYERS)], rng.integers(0, plan.side, 2), axis=(0, 1))
        image += np.sqrt(image + READ_NOISE**2) * rng.standard_normal(image.shape, np.float32)
        header = self.header(plan.targets[0], name, number * _SECONDS / 3600, "LIGHT", _SECONDS)
        header.update(self.wcs(0, float(dx), float(dy)))
        making = Path(".making")
        self.save(making, path.name, image, header)
        os.replace(self.folder / making / path.name, path)
