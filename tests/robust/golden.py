"""Golden outputs of the shipped models: ``python -m tests.robust.golden`` writes them again.

Each model's scores of all that is detected in ``benchmarks/example/field.fits``, and of positions at its
edges, are in ``golden/NAME.json``. A change of them is a change of what users get.
"""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rbinfer import Classifier
from rbinfer.io.images import load_image
from rbinfer.measure.detect import detect

FOLDER = Path(__file__).parent / "golden"
FIELD = Path(__file__).parents[2] / "benchmarks" / "example" / "field.fits"
MODELS = ("default", "reference")
FWHM = 3.0


def places() -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Return the image and the positions."""
    image = load_image(FIELD).pixels
    found = detect(image)
    height, width = image.shape
    x = np.concatenate([found["x"], [0, width - 1, 0, width - 1, 3.3, width / 2]])
    y = np.concatenate([found["y"], [0, 0, height - 1, height - 1, height / 2, 7.7]])
    return image, np.round(x, 3), np.round(y, 3)


def outputs(name: str) -> dict[str, list]:
    """Compute what the file of a model holds."""
    image, x, y = places()
    scores = Classifier(name, device="cpu").score(image, x, y, fwhm=FWHM)
    return {
        "x": x.tolist(),
        "y": y.tolist(),
        "status": scores.status.tolist(),
        "score": [round(float(s), 7) if np.isfinite(s) else None for s in scores.score],
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in MODELS:
        (FOLDER / f"{name}.json").write_text(json.dumps(outputs(name)) + "\n", encoding="utf-8")
