"""Masks of one rival, made by the Python of its own environment: ``_rival_worker.py NAME FROM TO``.

Every ``KEY.npy`` of the folder FROM, an image (ny, nx) in float32, gives a ``KEY.npz`` in the folder TO:
``probability`` (ny, nx), how likely the pixel is not of the sky; ``flagged`` (ny, nx), what the rival
masks at its own default; and ``seconds`` of processor time. Where it fails, a ``KEY.txt`` in FROM says
why. Nothing of this project is imported: the environment has only the rival.
"""

import functools
import sys
import time
from pathlib import Path

import numpy as np

#: Both networks of PyTorch come with this threshold in their documentation.
HALF = 0.5
#: Side of the image that each rival sees once before it is timed.
WARM_UP = 448
#: Classes of MaxiMask, in its order, that make a detection bogus. Not among them: nebulosity, saturated
#: pixels (of stars), and what is no detection (fringes, overscan, backgrounds).
CONTAMINANTS = {"CR": 0, "HCL": 1, "DCL": 2, "HP": 3, "DP": 4, "P": 5, "TRL": 6, "SP": 10}


def astroscrappy():
    """L.A.Cosmic: a verdict, so the probability is 0 or 1."""
    from astroscrappy import detect_cosmics

    def masks(image):
        flagged, _ = detect_cosmics(image)
        return flagged.astype(np.float32), flagged

    return masks


def deepcr():
    """deepCR with the network for ACS/WFC."""
    import torch
    from deepCR import deepCR

    torch.set_num_threads(1)
    network = deepCR(mask="ACS-WFC", device="CPU")

    def masks(image):
        probability = network.clean(image, binary=False)
        return probability, probability > HALF

    return masks


def cosmic_conn():
    """Cosmic-CoNN with the network for images from the ground."""
    import torch
    from cosmic_conn import init_model

    torch.set_num_threads(1)
    network = init_model("ground_imaging")

    def masks(image):
        probability = network.detect_cr(image.copy())
        return probability, probability > HALF

    return masks


def maximask(with_priors=True):
    """MaxiMask, flagged where a contaminant is above its own threshold.

    By default it moves the probabilities to priors of its own, in which contaminants are rare.
    """
    import logging

    import tensorflow as tf
    from maximask_and_maxitrack import utils
    from maximask_and_maxitrack.maximask import maximask as module

    folder = Path(module.__file__).parent
    count = module.MaxiMask_inference.nb_classes
    taken = list(CONTAMINANTS.values())

    def setting(name, to_float=True):
        return utils.read_config_file(str(folder / "config" / name), count, logging, to_float=to_float)

    flags = setting("classes.flags", to_float=False)
    priors = setting("classes.priors") if with_priors else None
    thresholds = setting("classes.thresh")[taken]
    model = str(folder / "model")
    # Without thresholds it gives the probabilities that it would compare with them.
    inference = module.MaxiMask_inference("", model, flags, priors, None, False, 8)
    network = tf.saved_model.load(model)

    def masks(image):
        normalised, _ = utils.image_norm(image)
        found = np.zeros((*image.shape, count), np.float32)
        inference.process_image(normalised, found, network)
        found = found[..., taken]
        return found.max(axis=-1), (found > thresholds).any(axis=-1)

    return masks


RIVALS = {
    "astroscrappy": astroscrappy,
    "deepcr": deepcr,
    "cosmic-conn": cosmic_conn,
    "maximask": maximask,
    "maximask-no-priors": functools.partial(maximask, with_priors=False),
}


def write(masks, source, folder):
    """Make the masks of one image and write them, or why there are none."""
    image = np.load(source)
    start = time.process_time()
    try:
        probability, flagged = masks(image)
    except Exception as error:  # whatever a rival may raise: the other images go on
        source.with_suffix(".txt").write_text(f"{type(error).__name__}: {error}")
        return
    seconds = time.process_time() - start
    # Under another name first, so that an end half-way leaves no half of a file.
    part = folder / f"{source.stem}.part.npz"
    np.savez_compressed(
        part, probability=np.float32(probability), flagged=flagged.astype(bool), seconds=seconds
    )
    part.replace(folder / f"{source.stem}.npz")


def main(name, images, folder):
    """Make the masks of all images."""
    masks = RIVALS[name]()
    noise = np.random.default_rng(0).normal(1000, 10, (WARM_UP, WARM_UP)).astype(np.float32)
    masks(noise)
    sources = sorted(Path(images).glob("*.npy"))
    for done, source in enumerate(sources, 1):
        write(masks, source, Path(folder))
        if done % 10 == 0 or done == len(sources):
            print(f"  {name}: {done} of {len(sources)} images", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
