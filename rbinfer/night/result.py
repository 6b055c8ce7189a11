"""What came of a night, for those who tell it."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._util.sentences import counted
from ..runs.batch import BatchReport
from .frames import Frame

#: Folder of the DS9 files.
REGIONS = "regions"
#: So many groups are named on a line.
_FEW_GROUPS = 8


@dataclass(frozen=True)
class Doubt:
    """A source whose probability is near the threshold, and the detection to look at.

    Attributes
    ----------
    id : int
    image : str
    hdu : int or None
        Of the image in its file; None for the first.
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
    hdu: int | None
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
    masks : dict of str to int
        Pixels in the mask of each camera, in the order of the masks in ``hotpixels.fits``.
    moved : bool
        Whether the sky moved over the detector: repeats tell hot pixels from stars.
    unmerged : list of str
        Frames that could not be aligned.
    doubtful : list of Doubt
        Those on the page, the nearest to the threshold first.
    n_doubtful : int
        How many sources can't be told well, on the page or not.
    seconds : dict of str to float
        By part.
    """

    folder: Path
    batch: BatchReport
    frames: list[Frame]
    groups: dict[tuple[str, str], int] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    why: Counter[str] = field(default_factory=Counter)
    masks: dict[str, int] = field(default_factory=dict)
    moved: bool = False
    unmerged: list[str] = field(default_factory=list)
    doubtful: list[Doubt] = field(default_factory=list)
    n_doubtful: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def hot_pixels(self) -> int:
        """Pixels in all masks."""
        return sum(self.masks.values())

    def as_dict(self) -> dict[str, Any]:
        """Return counts as plain values, for JSON."""
        batch = self.batch.as_dict()
        return {
            "images": batch["images"],
            "frames": len(self.frames),
            "failed": batch["failed"],
            "failures": batch["failures"],
            "left_out": batch["left_out"],
            "groups": [
                {"target": target, "filter": name, "frames": n}
                for (target, name), n in self.groups.items()
            ],
            "unmerged": self.unmerged,
            "real": {kind: self.kinds[kind] for kind in ("sky", "moving")},
            "bogus": self.kinds["bogus"],
            "candidates": dict(self.why),
            "hot_pixels": self.hot_pixels,
            "sky_moved": self.moved,
            "seconds": {part: round(spent, 3) for part, spent in self.seconds.items()},
        }

    def in_words(self) -> list[str]:
        """Say in three or four lines what came of it, and what to do next."""
        moving, once = self.why["moving"], self.why.total() - self.why["moving"]
        real = self.kinds["sky"] + self.kinds["moving"]
        told = {"done before": self.batch.n_skipped, "failed": len(self.batch.failed)}
        besides = ", ".join(f"{n} {what}" for what, n in told.items() if n)
        besides = f" ({besides})" if besides else ""
        apart = f", {len(self.unmerged)} not aligned" if self.unmerged else ""
        frames, groups = len(self.frames), len(self.groups)
        first = (
            f"{counted(frames, 'frame')}{besides} in {counted(groups, 'group')}{self._groups()}{apart}: "
            f"{counted(real, 'real source')}, {self.kinds['bogus']} bogus"
        )
        look = (
            f"look first at {self.folder / 'candidates.ecsv'}: {moving} moving, {once} seen once"
            f"{self._doubtful()}"
        )
        if not self.moved:
            mask = (
                "the sky hardly moved over the detector, so repeats can't tell stars from hot pixels: "
                "dither next time"
            )
        elif not self.hot_pixels:
            mask = "no hot pixel was found that stands while the sky moves"
        else:
            stand = "hot pixel stands" if self.hot_pixels == 1 else "hot pixels stand"
            mask = (
                f"{self.hot_pixels} {stand} while the sky moves: score into another folder with "
                f"{self._masks()}"
            )
        return [first, look, mask, *self._calibration()]

    def _calibration(self) -> list[str]:
        """Say what became of darks, where some were there, and what they are good for."""
        n = self.batch.left_out.get("dark", 0)
        if not n:
            return []
        are = "1 dark was" if n == 1 else f"{n} darks were"
        return [
            f"{are} not scored and not used for the mask, which rests on the lights; 'rbtrain harvest' "
            "makes labels of them"
        ]

    def _doubtful(self) -> str:
        """Say how many can't be told well, and where a person judges them."""
        if not self.n_doubtful:
            return ""
        page, shown = self.folder / "doubtful.html", len(self.doubtful)
        text = f"; {self.n_doubtful} can't be told well"
        if self.n_doubtful > shown:
            return f"{text}: the first {shown} are in {page}"
        if self.n_doubtful == shown:
            return f"{text}: judge {'it' if shown == 1 else 'them'} in {page}"
        return f"{text}: judge the first{f' {self.n_doubtful}' if self.n_doubtful > 1 else ''} in {page}"

    def _groups(self) -> str:
        """Name a few groups with their frames: one that was taken for two is seen at once."""
        if len(self.groups) > _FEW_GROUPS:
            return ""
        each = (f"{' '.join(filter(None, g)) or 'unnamed'}: {n}" for g, n in sorted(self.groups.items()))
        return f" ({', '.join(each)})"

    def _masks(self) -> str:
        """Return the parameter that gives each camera its mask."""
        path = self.folder / "hotpixels.fits"
        if len(self.masks) < 2:
            return f"`mask={str(path)!r}`"
        each = enumerate(self.masks, 1)
        return ", ".join(f"`mask={f'{path}[MASK{k}]'!r}` ({camera})" for k, camera in each)
