"""Simulated images with known contents.

`draw_frame` draws one frame from broad ranges, for training; `simulate_image` makes an image
with given numbers of everything.
"""

from .canvas import Artefact
from .config import (
    ArtefactConfig,
    DetectorConfig,
    FieldConfig,
    PSFConfig,
    SimulateConfig,
    SkyConfig,
)
from .frame import Frame, draw_frame
from .image import simulate_image
from .psf import PSF

__all__ = [
    "PSF",
    "Artefact",
    "ArtefactConfig",
    "DetectorConfig",
    "FieldConfig",
    "Frame",
    "PSFConfig",
    "SimulateConfig",
    "SkyConfig",
    "draw_frame",
    "simulate_image",
]
