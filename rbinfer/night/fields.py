"""Fields: frames whose detections can be laid on one plane, by their WCS or else by their stars.

The plane of a field is the pixel grid of its first frame. Sky positions reach it by a gnomonic
projection about that frame; frames without a WCS that can be used reach it by the stars that both have.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .affine import Affine, align
from .rows import ENOUGH_ROWS, Rows

F64 = NDArray[np.float64]

#: Frames further from each other than this (degrees) have planes of their own.
_WIDEST = 5.0
#: A frame's positions on the sky follow its pixels to this rms in pixels of an affine map, and more than
#: these it must have; distortions bend a wide field by less.
_STRAIGHT, _LEAST_ROWS = 5.0, 3
#: Pixels are this much longer than wide at most: rows in a line do not tell how long they are.
_LONGEST = 10.0
#: A frame is aligned by this many of its brightest real detections at most.
_MOST_STARS = 1000
#: A gnomonic projection has no place for what is 90 degrees from its middle.
_HEMISPHERE = 89.0


@dataclass(frozen=True, eq=False)
class Place:
    """Where a frame lies on the plane of its field.

    Attributes
    ----------
    field : int
        Number of the field.
    how : {"sky", "stars", "first", "alone"}
        By its WCS, by its stars, as the first of its field, or not at all: then its pixels are a plane
        of their own.
    affine : Affine or None
        From its pixels to the plane, approximate where distortions bend it; None for a frame with too
        few rows to tell.
    """

    field: int
    how: str
    affine: Affine | None


@dataclass(eq=False)
class Field:
    """A plane, and what later frames are aligned with.

    Attributes
    ----------
    wcs : astropy.wcs.WCS or None
        From the plane to the sky.
    anchors : list of ndarray of float64, shape (n, 2)
        Stars on the plane, the brightest first: of the first frame, and of the last that was aligned.
    n_frames : int
    """

    wcs: Any = None
    anchors: list[F64] = field(default_factory=list)
    n_frames: int = 0

    @property
    def is_known(self) -> bool:
        """Whether it can be told from other fields: a lone frame may be of one that it did not fit."""
        return self.wcs is not None or self.n_frames > 1

    def sky(self, u: F64, v: F64) -> tuple[F64, F64]:
        """Return right ascension and declination in degrees; NaN where the field has no WCS."""
        if self.wcs is None or not len(u):
            return np.full(len(u), np.nan), np.full(len(u), np.nan)
        ra, dec = self.wcs.wcs_pix2world(u, v, 0)
        return np.asarray(ra) % 360.0, np.asarray(dec)

    @property
    def arcsec_per_pixel(self) -> float:
        """Side of a pixel; NaN without a WCS."""
        if self.wcs is None:
            return float("nan")
        return float(np.sqrt(abs(np.linalg.det(self.wcs.wcs.cd)))) * 3600.0


class Fields:
    """The fields of a night, which grow with the frames that are added in the order of time.

    Names of targets have no part in it: one target may have many names, and one name many pointings.
    """

    def __init__(self) -> None:
        self.fields: list[Field] = []
        self._last = 0

    def add(self, rows: Rows) -> Place:
        """Find the place of a frame, and make a field for it if it is the first there.

        Parameters
        ----------
        rows : Rows

        Returns
        -------
        Place

        Raises
        ------
        InputError
            It takes stars to align the frame, and astroalign is not installed.
        """
        place = None if rows.sky is None else self._by_sky(rows)
        place = place or self._by_stars(_stars(rows))
        self.fields[place.field].n_frames += 1
        self._last = place.field
        return place

    def _by_stars(self, stars: F64) -> Place:
        # A search in vain takes long: the field of the last frame comes first.
        for number in sorted(range(len(self.fields)), key=lambda k: k != self._last):
            known = self.fields[number]
            for anchor in known.anchors:
                affine = align(stars, anchor)
                if affine is not None:
                    moved = np.column_stack(affine(*stars.T))
                    known.anchors[1:] = [moved]
                    return Place(number, "stars", affine)
        anchors = [stars] if len(stars) >= _LEAST_ROWS else []
        self.fields.append(Field(None, anchors))
        identity = Affine(np.eye(2, 3))
        return Place(len(self.fields) - 1, "first" if anchors else "alone", identity)

    def joined(self, places: Sequence[Place]) -> list[Place]:
        """Join fields that are known by their stars alone to those on the sky that show the same stars.

        A frame whose WCS failed may come before those of its field that have one.

        Parameters
        ----------
        places : sequence of Place
            Of all frames, as `add` found them.

        Returns
        -------
        list of Place
            The same, on the fields that are left.
        """
        on_sky = [number for number, known in enumerate(self.fields) if known.wcs is not None]
        maps: dict[int, tuple[int, Affine]] = {}
        for number, known in enumerate(self.fields):
            if known.wcs is None and known.anchors:
                found = self._same_stars(known.anchors, on_sky)
                if found is not None:
                    maps[number] = found
        left = [number for number in range(len(self.fields)) if number not in maps]
        for number, (other, _) in maps.items():
            self.fields[other].n_frames += self.fields[number].n_frames
        self.fields = [self.fields[number] for number in left]
        return [_moved_to(place, maps, left) for place in places]

    def _same_stars(self, stars: Sequence[F64], numbers: Sequence[int]) -> tuple[int, Affine] | None:
        """Return a field among some that shows one of these lists of stars, and the map to its plane."""
        for number in numbers:
            for anchor in self.fields[number].anchors:
                for own in stars:
                    affine = align(own, anchor)
                    if affine is not None:
                        return number, affine
        return None

    def lay(self, rows: Rows, place: Place) -> None:
        """Set ``u`` and ``v`` of the rows."""
        wcs = self.fields[place.field].wcs
        if place.how == "sky" and rows.sky is not None:
            rows.rows["u"], rows.rows["v"] = _on_plane(wcs, *rows.sky)
        elif place.affine is not None:
            rows.rows["u"], rows.rows["v"] = place.affine(rows.rows["x"], rows.rows["y"])

    def _by_sky(self, rows: Rows) -> Place | None:
        """Find a place by the sky; None where the positions there do not follow the pixels."""
        assert rows.sky is not None
        ra, dec = rows.sky
        good = np.isfinite(ra) & np.isfinite(dec) & np.isfinite(rows.rows["x"] + rows.rows["y"])
        good &= np.abs(dec) <= 90.0
        if not good.any():
            return None
        if rows.grid is not None:
            pixels, ra, dec = rows.grid
        else:
            pixels = np.column_stack([rows.rows["x"], rows.rows["y"]])[good]
            ra, dec = ra[good], dec[good]
        middle = _middle(ra, dec)
        for number in self._near(middle):
            if len(pixels) < ENOUGH_ROWS:
                return self._joined(number, None, rows)
            plane = np.column_stack(_on_plane(self.fields[number].wcs, ra, dec))
            affine = _straight(pixels, plane, 1.0)
            if affine is not None:
                return self._joined(number, affine, rows)
        wcs = _fitted_wcs(pixels, middle, ra, dec)
        if wcs is None:
            return None
        self.fields.append(Field(wcs))
        return self._joined(len(self.fields) - 1, Affine(np.eye(2, 3)), rows)

    def _near(self, middle: tuple[float, float]) -> list[int]:
        """Return the fields with a WCS near a direction, the nearest first."""
        away = {
            number: float(_apart(known.wcs.wcs.crval, *middle))
            for number, known in enumerate(self.fields)
            if known.wcs is not None
        }
        return sorted((number for number in away if away[number] <= _WIDEST), key=away.__getitem__)

    def _joined(self, number: int, affine: Affine | None, rows: Rows) -> Place:
        """Return the place of a frame on the sky; its stars are what frames without a WCS go by."""
        stars = _stars(rows)
        if affine is not None and len(stars) >= _LEAST_ROWS:
            self.fields[number].anchors[1:] = [np.column_stack(affine(*stars.T))]
        return Place(number, "sky", affine)


def _moved_to(place: Place, maps: Mapping[int, tuple[int, Affine]], left: Sequence[int]) -> Place:
    """Return a place on the field that its own was joined to, by the number that this has now."""
    number, affine, how = place.field, place.affine, place.how
    if number in maps:
        number, onto = maps[number]
        affine, how = None if affine is None else onto.after(affine), "stars"
    return Place(left.index(number), how, affine)


def _stars(rows: Rows) -> F64:
    """Return the positions of the real detections of a frame, the brightest first."""
    real = rows.rows[rows.rows["real"] & np.isfinite(rows.rows["x"]) & np.isfinite(rows.rows["y"])]
    order = np.argsort(-np.nan_to_num(real["flux"], nan=-1.0), kind="stable")[:_MOST_STARS]
    return np.column_stack([real["x"], real["y"]])[order]


def _straight(pixels: F64, plane: F64, scale: float) -> Affine | None:
    """Return the affine map from pixels to a plane, unless positions do not follow it."""
    if len(pixels) <= _LEAST_ROWS:
        return None
    affine = Affine.fitted(pixels, plane, _LEAST_ROWS + 1)
    away = np.column_stack(affine(*pixels.T)) - plane
    rms = float(np.sqrt(np.mean(np.sum(away**2, axis=1)))) / scale
    return affine if rms < _STRAIGHT and affine.scale > 0 else None


def _fitted_wcs(pixels: F64, middle: tuple[float, float], ra: F64, dec: F64) -> Any:
    """Return the gnomonic WCS that maps pixels to the sky; None where no map does."""
    if len(pixels) <= _LEAST_ROWS:
        return None
    flat = np.column_stack(_on_plane(_tangent(middle, np.eye(2), (0.0, 0.0)), ra, dec))
    affine = Affine.fitted(pixels, flat, _LEAST_ROWS + 1)
    matrix, scale = affine.matrix[:, :2], affine.scale
    if not 0 < scale < 1 or np.linalg.cond(matrix) > _LONGEST or _straight(pixels, flat, scale) is None:
        return None
    x, y = affine.inverse()(np.zeros(1), np.zeros(1))
    return _tangent(middle, matrix, (float(x[0]), float(y[0])))


def _middle(ra: F64, dec: F64) -> tuple[float, float]:
    """Return the direction of the sum of unit vectors, in degrees."""
    a, d = np.radians(ra), np.radians(dec)
    x, y, z = (np.cos(d) * np.cos(a)).sum(), (np.cos(d) * np.sin(a)).sum(), np.sin(d).sum()
    return float(np.degrees(np.arctan2(y, x)) % 360.0), float(np.degrees(np.arctan2(z, np.hypot(x, y))))


def _apart(middle: Any, ra: F64 | float, dec: F64 | float) -> F64:
    """Return how far directions are from a middle; all in degrees."""
    from astropy.coordinates import angular_separation

    a, d = np.radians(middle)
    return np.degrees(np.asarray(angular_separation(a, d, np.radians(ra), np.radians(dec)), np.float64))


def _tangent(middle: tuple[float, float], matrix: F64, zero: tuple[float, float]) -> Any:
    """Return a gnomonic WCS: degrees from `middle` are `matrix` times pixels from `zero` (0-based)."""
    from astropy.wcs import WCS

    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = middle
    wcs.wcs.cd = matrix
    wcs.wcs.crpix = [zero[0] + 1.0, zero[1] + 1.0]
    wcs.wcs.set()
    return wcs


def _on_plane(wcs: Any, ra: F64, dec: F64) -> tuple[F64, F64]:
    """Return pixels of the plane; NaN where a direction has none."""
    u, v = np.full(len(ra), np.nan), np.full(len(ra), np.nan)
    good = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90.0))
    good = good[_apart(wcs.wcs.crval, ra[good], dec[good]) < _HEMISPHERE]
    if good.size:
        u[good], v[good] = wcs.wcs_world2pix(ra[good], dec[good], 0)
    return u, v
