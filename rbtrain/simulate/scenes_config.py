"""How often a frame is of a special kind."""

from dataclasses import astuple, dataclass, field

from .._settings import LATER, Settings


@dataclass(frozen=True)
class ScenesConfig(Settings):
    """Shares of the frames that are of a special kind; `rbtrain.simulate.scenes` has what each changes.

    Attributes
    ----------
    undersampled : float
        Stars narrower than 1.8 pixels among hits that look like them.
    streaked : float
        Stars that are all trailed by 3 to 25 pixels, among round hits and round objects that are
        followed.
    starless : float
        Darks, closed shutters and clouds: hits alone.
    thick : float
        Thick red-sensitive CCDs: worms, long tracks that widen, spots.
    crowded : float
        Crowded fields on large or binned pixels.
    survey : float
        Sparse fields of galaxies up to several times the width of a star, aligned and sky subtracted.
    infrared : float
        Arrays that remember the saturated stars of earlier exposures.
    tracked : float
        Bright satellite trails that are bumpy.
    lens : float
        Wide fields through a camera lens: stars change much over the frame.
    turning : float
        Cameras that do not follow the sky, or whose field turns: short trails about a pole.
    plate : float
        Scans of photographic plates: bright stars are wide and flat.
    mosaic : float
        Raw frames of colour sensors: each pixel sees the sky through one of three filters.
    """

    undersampled: float = field(default=0.0, metadata=LATER)
    streaked: float = field(default=0.0, metadata=LATER)
    starless: float = field(default=0.0, metadata=LATER)
    thick: float = field(default=0.0, metadata=LATER)
    crowded: float = field(default=0.0, metadata=LATER)
    survey: float = field(default=0.0, metadata=LATER)
    infrared: float = field(default=0.0, metadata=LATER)
    tracked: float = field(default=0.0, metadata=LATER)
    lens: float = field(default=0.0, metadata=LATER)
    turning: float = field(default=0.0, metadata=LATER)
    plate: float = field(default=0.0, metadata=LATER)
    mosaic: float = field(default=0.0, metadata=LATER)

    def __post_init__(self) -> None:
        super().__post_init__()
        shares = astuple(self)
        if min(shares) < 0 or sum(shares) > 1:
            raise ValueError(
                f"the shares of the scenes must be 0 or more and at most 1 together: {self}"
            )
