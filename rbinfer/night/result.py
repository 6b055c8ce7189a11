"""What came of a night, for those who tell it."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ..runs.batch import BatchReport
from .frames import Frame


@dataclass(frozen=True)
class Doubt:
    """A source whose probability is near the threshold, and the detection to look at.

    Attributes
    ----------
    id : int
    image : str
    row : int
        In the scored catalogue of the image, from 0.
    x, y : float
        0-based pixels of the image.
    fwhm : float
        Of its stars.
    score, probability : float
    n_seen, n_cover : int
    kind : str
        Most frequent class.
    """

    id: int
    image: str
    row: int
    x: float
    y: float
    fwhm: float
    score: float
    probability: float
    n_seen: int
    n_cover: int
    kind: str


@dataclass
class NightResult:
    """What came of a night.

    Attributes
    ----------
    folder : Path
        With the files of `OUTPUTS`.
    batch : BatchReport
        Of the single frames.
    frames : list of Frame
        Those with a result, in the order of time.
    groups : dict of (str, str) to int
        Frames by target and filter.
    kinds : Counter of str
        Real sources by `rbinfer.night.sources.KINDS`, and "bogus".
    why : Counter of str
        Candidates by what they are.
    hot_pixels : int
        Pixels in the mask.
    moved : bool
        Whether the sky moved over the detector: repeats tell hot pixels from stars.
    unmerged : list of str
        Frames that could not be aligned.
    doubtful : list of Doubt
        The nearest to the threshold first.
    seconds : dict of str to float
        By part.
    """

    folder: Path
    batch: BatchReport
    frames: list[Frame]
    groups: dict[tuple[str, str], int] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    why: Counter[str] = field(default_factory=Counter)
    hot_pixels: int = 0
    moved: bool = False
    unmerged: list[str] = field(default_factory=list)
    doubtful: list[Doubt] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
