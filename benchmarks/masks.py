"""How well the mask of artefacts covers them, pixel by pixel, beside L.A.Cosmic.

    python benchmarks/masks.py [--frames N] [--json FILE]

Simulated frames with their truth, detected, scored and masked as ``rbinfer classify --mask-out`` does. A
pixel is truly an artefact's where a cosmic ray, a hot pixel or column, or a trail makes up the largest
part of the artefacts there and adds at least three times the noise. Completeness: which part of these
pixels is masked. Purity: in which part of the masked pixels such an artefact adds at least the noise.
L.A.Cosmic (astroscrappy, its own defaults, gain and noise as for `rbtrain`'s baselines) is meant for
cosmic rays alone; it masks hot pixels too, so trails are left out of what it is held against.
"""

import argparse
from dataclasses import replace

import numpy as np
import sep
from _common import add_json, processor, write_json

from rbinfer.io.exposure import as_exposure
from rbinfer.io.masks_out import BITS
from rbinfer.measure.detect import detect
from rbinfer.measure.estimate import measure_width
from rbinfer.pipeline.mask import artefact_mask
from rbinfer.scoring.classifier import Classifier
from rbtrain.config import TrainConfig
from rbtrain.data.cutting import frame_rng
from rbtrain.judging.baselines import LA_COSMIC, load_astroscrappy, pixel_noise
from rbtrain.simulate import Artefact, draw_frame

#: What of the truth each bit stands for.
TRUTH = {
    "cosmic_ray": Artefact.COSMIC_RAY,
    "hot_pixel": Artefact.HOT_PIXEL,
    "trail": Artefact.TRAIL,
}
CLEAR, ANY = 3.0, 1.0  # times the noise
SEED = 20261128  # of frames that no setting of the mask was chosen on


def ours(frame, classifier):
    """Return the mask of a frame as `rbinfer` makes it."""
    exposure = as_exposure(frame.image, mask=frame.mask, saturation=frame.saturation)
    table = detect(exposure.pixels, exposure.mask)
    exposure = replace(exposure, width=measure_width(exposure, table))
    return artefact_mask(classifier.classify(table, exposure), exposure, {}, classifier)


def la_cosmic(frame):
    """Return what L.A.Cosmic masks."""
    image = np.where(np.isfinite(frame.image), frame.image, np.nanmedian(frame.image))
    image = np.ascontiguousarray(image, np.float32)
    background = sep.Background(image, mask=frame.mask)
    sky = background.back(dtype=np.float32)
    full = np.inf if frame.saturation is None else frame.saturation - float(np.median(sky))
    masked, _ = load_astroscrappy().detect_cosmics(
        image - sky,
        inmask=frame.mask,
        gain=1.0,
        readnoise=max(pixel_noise(image, frame.mask) or background.globalrms, 1e-6),
        satlevel=full,
        **LA_COSMIC,
    )
    return masked


class Counts:
    """Pixels of a mask: how many there were, how many it has, how many of its own are right."""

    def __init__(self):
        self.clear = self.covered = self.masked = self.right = 0

    def add(self, mask, clear, right, good):
        """Add a frame."""
        self.clear += int((clear & good).sum())
        self.covered += int((clear & mask & good).sum())
        self.masked += int((mask & good).sum())
        self.right += int((right & mask & good).sum())

    @property
    def figures(self):
        """Completeness and purity."""
        return {
            "pixels": self.clear,
            "completeness": self.covered / max(self.clear, 1),
            "masked": self.masked,
            "purity": self.right / max(self.masked, 1),
        }


def measure(n_frames, classifier):
    """Return the figures by what they are of."""
    hits = ("cosmic_ray", "hot_pixel")
    counts = {
        name: Counts() for name in (*TRUTH, "all three", "ours, no trails", "L.A.Cosmic, no trails")
    }
    config = TrainConfig("masks")
    for k in range(n_frames):
        frame = draw_frame(config.simulate, frame_rng(SEED, k))
        mask, light = ours(frame, classifier), np.abs(frame.artefacts) / frame.noise
        good = np.isfinite(frame.image) if frame.mask is None else ~frame.mask & np.isfinite(frame.image)
        of = {name: frame.artefact_class == int(code) for name, code in TRUTH.items()}
        every = np.any(list(of.values()), axis=0)
        # What is right may be of another kind; where kinds are asked for, it is missing there.
        for name, bit in BITS.items():
            counts[name].add((mask & bit) > 0, of[name] & (light > CLEAR), every & (light > ANY), good)
        counts["all three"].add(mask > 0, every & (light > CLEAR), every & (light > ANY), good)
        short = of["cosmic_ray"] | of["hot_pixel"]
        apart = good & ~of["trail"]
        own = sum(BITS[name] for name in hits)
        for name, found in (("ours", (mask & own) > 0), ("L.A.Cosmic", la_cosmic(frame))):
            counts[f"{name}, no trails"].add(
                found, short & (light > CLEAR), short & (light > ANY), apart
            )
    return {name: each.figures for name, each in counts.items()}


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--frames", type=int, default=60)
    add_json(parser)
    options = parser.parse_args()
    print(f"{processor()}; {options.frames} simulated frames")
    found = measure(options.frames, Classifier(device="cpu"))
    print(f"{'':24s}{'pixels':>9s}{'complete':>10s}{'masked':>9s}{'pure':>8s}")
    for name, each in found.items():
        print(
            f"{name:24s}{each['pixels']:9,d}{each['completeness']:10.3f}"
            f"{each['masked']:9,d}{each['purity']:8.3f}"
        )
    write_json(options.json, {"frames": options.frames, **found})


if __name__ == "__main__":
    main()
