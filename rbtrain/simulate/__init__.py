"""Simulated images with known contents.

`draw_frame` draws one frame from broad ranges, for training; `simulate_image` makes an image
with given numbers of everything. `open_backdrops` gives frames that are drawn on real pixels.
"""

from .artefacts_config import ArtefactConfig
from .backdrop import Backdrops, describe, identify, open_backdrops
from .canvas import Artefact
from .config import (
    DetectorConfig,
    FieldConfig,
    PSFConfig,
    SimulateConfig,
    SkyConfig,
)
from .drawing import draw_frame
from .frame import Frame
from .image import simulate_image
from .patches import DarkPatch, SkyPatch
from .psf import PSF
from .scenes_config import ScenesConfig

__all__ = [
    "PSF",
    "Artefact",
    "ArtefactConfig",
    "Backdrops",
    "DarkPatch",
    "DetectorConfig",
    "FieldConfig",
    "Frame",
    "PSFConfig",
    "ScenesConfig",
    "SimulateConfig",
    "SkyConfig",
    "SkyPatch",
    "describe",
    "draw_frame",
    "identify",
    "open_backdrops",
    "simulate_image",
]
