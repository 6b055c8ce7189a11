"""From the results of single frames to the tables of a night, a frame or a group at a time."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..io.regions import as_regions, write_regions
from ..io.sky_out import SkyMap
from .bands import Bands
from .candidates import REAL, candidates, count_doubtful, doubtful, neighbours
from .coverage import Cover
from .detector import SPOT, Standing, find_standing
from .fields import Fields, Place
from .frames import Frame, plain
from .merge import Merged, merge
from .parts import DETECTIONS, ParquetParts, arrow_columns, detection_columns, parts_of, texts
from .repeats import MARGIN
from .result import REGIONS, Doubt, NightResult
from .rows import Rows, read_rows
from .sources import KINDS, Block
from .stored import Stored
from .tables import (
    UNITS,
    frame_table,
    source_table,
    texts_in,
    with_units,
    write_as_ecsv,
    write_mask,
    write_table,
)

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

#: A detection that takes more than this share of a frame has flooded it.
_FLOOD = 0.2
#: How often each frame is read: to align it, to find what stands on its detector, and to merge it.
_PASSES = 3
#: How many of the most doubtful sources are kept for a page.
_MOST_DOUBTFUL = 60


class Reckoning:
    """All that follows from the results of the frames; each pass reads one frame or group at a time.

    Parameters
    ----------
    night : NightResult
        With the frames; the rest of it is filled in.
    progress : callable, optional
        Called as ``progress(done, total)`` after each reading of a frame.
    """

    def __init__(self, night: NightResult, progress: Callable[[int, int], None] | None = None) -> None:
        self.night = night
        self.progress = progress
        self.n_read = 0
        self.frames = night.frames
        self.fields = Fields()
        self.places: list[Place] = []
        self.facts: dict[str, list[Any]] = {k: [] for k in ("detections", "real", "fwhm", "note")}
        self.thresholds: list[float] = []
        self.hdus: list[int | None] = []
        self.hours = np.array([frame.hours for frame in self.frames])
        self.classes: dict[str, int] = {}
        self.standing: dict[str, Standing] = {}
        self.first_row: dict[int, int] = {}
        self.next_id = 1
        self.chosen: list[tuple[Table, list[int]]] = []

    def run(self) -> None:
        """Write all tables."""
        for part, step in (
            ("aligning", self._align),
            ("detector", self._find_standing),
            ("merging", self._merge),
            ("writing", self._write),
        ):
            start = time.perf_counter()
            step()
            self.night.seconds[part] = time.perf_counter() - start

    def _read(self, number: int) -> Rows:
        rows = read_rows(self.frames[number], number)
        kinds = [self.classes.setdefault(name, len(self.classes)) for name in rows.classes]
        rows.rows["kind"] = np.array([*kinds, -1], np.int16)[rows.rows["kind"]]
        if self.places:
            self.fields.lay(rows, self.places[number])
        self.n_read += 1
        if self.progress is not None:
            self.progress(self.n_read, _PASSES * len(self.frames))
        return rows

    def _align(self) -> None:
        places = []
        for number, frame in enumerate(self.frames):
            rows = self._read(number)
            place = self.fields.add(rows)
            places.append(place)
            self.thresholds.append(rows.threshold)
            self.hdus.append(rows.hdu)
            self.facts["detections"].append(len(rows.rows))
            self.facts["real"].append(int(np.count_nonzero(rows.rows["real"])))
            self.facts["fwhm"].append(rows.fwhm)
            note = _flood(rows, frame)
            self.facts["note"].append(note)
            if note:
                log.warning("%s: %s", frame.image, note)
        places = self.fields.joined(places)
        self.places = places
        several = Counter(place.field for place in places)
        lone = [n for n, place in enumerate(places) if place.how == "alone"]
        lone += [
            n
            for n, place in enumerate(places)
            if place.how == "first" and several[place.field] == 1 and len(places) > 1
        ]
        self.night.unmerged = [self.frames[n].image for n in sorted(lone)]
        for image in self.night.unmerged:
            log.warning(
                "%s: neither a WCS nor its stars tell where it lies, so it is merged with no other",
                image,
            )

    def _find_standing(self) -> None:
        """Find what stands on each camera's detector; keeps 8 bytes a detection."""
        for camera in sorted({frame.camera for frame in self.frames}):
            numbers = [n for n, frame in enumerate(self.frames) if frame.camera == camera]
            bounds = self._bounds(numbers)
            self.first_row.update(zip(numbers, bounds.tolist(), strict=False))
            ny, nx = self.frames[numbers[0]].shape
            span, n = (0.0, float(ny)), int(bounds[-1])
            with Bands(self.night.folder, SPOT, "y", span, n, MARGIN) as bands:
                for number, start in zip(numbers, bounds.tolist(), strict=False):
                    bands.add(self._spots(number, start))
                self.standing[camera] = find_standing(bands, len(numbers), float(ny * nx))

    def _spots(self, number: int, start: int) -> NDArray[Any]:
        """Return the rows of a frame as they are held against those of others of its camera."""
        rows, place = self._read(number).rows, self.places[number]
        spots = np.zeros(len(rows), SPOT)
        spots["index"] = np.arange(start, start + len(rows))
        for name in ("frame", "x", "y", "u", "v", "real"):
            spots[name] = rows[name]
        spots["field"] = place.field if self.fields.fields[place.field].is_known else -1
        return spots

    def _bounds(self, numbers: Sequence[int]) -> NDArray[np.intp]:
        """Return where the rows of frames begin and end, one frame after the other."""
        return np.cumsum([0, *(self.facts["detections"][n] for n in numbers)])

    def _merge(self) -> None:
        """Merge the frames of each group on a field, and write what they show."""
        members: dict[tuple[tuple[str, str], int, str], list[int]] = {}
        shown: dict[tuple[str, str], tuple[str, str]] = {}
        for number, (frame, place) in enumerate(zip(self.frames, self.places, strict=True)):
            members.setdefault((frame.group, place.field, frame.camera), []).append(number)
            shown.setdefault(frame.group, (frame.target, frame.filter))
            self.night.groups[shown[frame.group]] = self.night.groups.get(shown[frame.group], 0) + 1
        out = self.night.folder
        held = texts_in(self.frames, list(self.classes))
        with (
            ParquetParts(out / "sources.parquet", held, UNITS) as all_sources,
            ParquetParts(out / DETECTIONS, held, UNITS) as all_rows,
        ):
            for (group, number, camera), numbers in sorted(members.items()):
                block = self._block(shown[group], number, camera, numbers)
                with Stored(out, block, len(self.standing[camera].x)) as stored:
                    self._store(stored, numbers, self.standing[camera])
                    self._write_block(block, stored, merge(block, stored), all_sources, all_rows)

    def _block(self, group: tuple[str, str], field: int, camera: str, numbers: Sequence[int]) -> Block:
        """Return what is known of the frames that are merged at a time."""
        covers = [
            Cover(n, affine, self.frames[n].shape, float(self.hours[n]))
            for n in numbers
            if (affine := self.places[n].affine) is not None
        ]
        widths = np.array([self.facts["fwhm"][n] for n in numbers])
        has_width = np.isfinite(widths)
        return Block(
            group,
            camera,
            self.fields.fields[field],
            covers,
            self.hours,
            len(numbers),
            int(self._bounds(numbers)[-1]),
            float(np.median(widths[has_width])) if has_width.any() else float("nan"),
            float(np.median([self.thresholds[n] for n in numbers])),
            self.standing[camera].by_chance,
        )

    def _store(self, stored: Stored, numbers: Sequence[int], standing: Standing) -> None:
        """Read the rows of frames, with what of them stands on the detector."""
        for number in numbers:
            rows = self._read(number).rows
            own = slice(self.first_row[number], self.first_row[number] + len(rows))
            stored.add(rows, standing.number[own], standing.repeats[own])

    def _write_block(
        self,
        block: Block,
        stored: Stored,
        merged: Merged,
        all_sources: ParquetParts,
        all_rows: ParquetParts,
    ) -> None:
        names, found = list(self.classes), merged.found
        for part in parts_of(len(found)):
            table = source_table(block, found[part], self._ids(part), self.frames, names)
            all_sources.add(arrow_columns(table))
        for part in parts_of(block.n_rows):
            label = merged.label[part]
            ids = self.next_id + label.astype(np.int64)
            probability = found["probability"][label]
            rows = stored.read(part)
            all_rows.add(detection_columns(rows, block.field, ids, probability, self.frames, names))
        self._sum_up(block, found)
        self.next_id += len(found)

    def _ids(self, which: slice | NDArray[np.intp]) -> NDArray[np.int64]:
        """Return the numbers of sources of the block that is merged."""
        index = np.arange(which.start, which.stop) if isinstance(which, slice) else which
        return self.next_id + index.astype(np.int64)

    def _sum_up(self, block: Block, found: NDArray[Any]) -> None:
        """Keep of a block what the night tells: its candidates, doubtful ones, regions."""
        night = self.night
        real = found["probability"] > REAL
        for number, kind in enumerate(KINDS):
            night.kinds[kind] += int(np.count_nonzero(real & (found["kind"] == number)))
        night.kinds["bogus"] += int(np.count_nonzero(~real))
        away = neighbours(found, block.fwhm)
        index, why = candidates(found, away)
        night.why.update(why)
        chosen = source_table(block, found[index], self._ids(index), self.frames, list(self.classes))
        best = found[index]
        chosen["why"] = texts(why)
        chosen["neighbour"] = np.where(np.isfinite(away[index]), away[index], np.nan)
        chosen["image"] = texts([self.frames[k].image for k in best["best_frame"]])
        for name, of in (("row", "best_row"), ("x_image", "best_x"), ("y_image", "best_y")):
            chosen[name] = best[of]
        self.chosen.append((chosen, [_RANK[word] for word in why]))
        night.n_doubtful += count_doubtful(found)
        for k in doubtful(found, _MOST_DOUBTFUL):
            night.doubtful.append(self._doubt(found[k], self.next_id + int(k)))
        night.doubtful.sort(key=lambda doubt: (abs(doubt.probability - REAL), doubt.id))
        del night.doubtful[_MOST_DOUBTFUL:]
        self._write_regions(block, found)

    def _doubt(self, source: Any, number: int) -> Doubt:
        frame = int(source["best_frame"])
        kind = int(source["class"])
        return Doubt(
            number,
            self.frames[frame].image,
            self.hdus[frame],
            int(source["best_row"]),
            float(source["best_x"]),
            float(source["best_y"]),
            float(self.facts["fwhm"][frame]),
            float(source["best_score"]),
            float(source["probability"]),
            int(source["n_seen"]),
            int(source["n_cover"]),
            list(self.classes)[kind] if kind >= 0 else "",
        )

    def _write_regions(self, block: Block, found: NDArray[Any]) -> None:
        shown = np.flatnonzero(found["kind"] != KINDS.index("detector"))
        names = np.array([*self.classes, ""], np.str_)
        sky = None if block.field.wcs is None else SkyMap(block.field.wcs)
        texts_of_parts = (
            as_regions(
                own["u"],
                own["v"],
                own["probability"],
                REAL,
                names[own["class"]],
                radius=2.0 * block.fwhm if np.isfinite(block.fwhm) else 6.0,
                sky=sky,
            )
            for part in parts_of(len(shown))
            for own in [found[shown[part]]]
        )
        folder = self.night.folder / REGIONS
        folder.mkdir(exist_ok=True)
        number = self.fields.fields.index(block.field) + 1
        stem = "_".join(plain(part) or "none" for part in block.group)
        cameras = sorted(self.standing)
        camera = f"_camera{cameras.index(block.camera) + 1}" if len(cameras) > 1 else ""
        write_regions(texts_of_parts, folder / f"{stem}_{number}{camera}.reg", overwrite=True)

    def _write(self) -> None:
        from astropy.table import vstack

        out = self.night.folder
        write_as_ecsv(out / "sources.parquet", out / "sources.ecsv")
        chosen = vstack([table for table, _ in self.chosen], metadata_conflicts="silent")
        rank = np.concatenate([ranks for _, ranks in self.chosen])
        times = np.where(rank == 0, chosen["n_seen"], 0)
        chosen = chosen[np.lexsort((chosen["id"], -np.nan_to_num(chosen["snr"]), -times, rank))]
        write_table(with_units(chosen), out / "candidates.ecsv")
        write_table(frame_table(self.frames, self.places, self.facts), out / "frames.ecsv")
        shapes = {frame.camera: frame.shape for frame in self.frames}
        self.night.masks = write_mask(
            {c: (shapes[c], s) for c, s in self.standing.items()}, out / "hotpixels.fits"
        )
        self.night.moved = _moved(self.places, self.frames)


_RANK = {"moving": 0, "seen once": 1, "seen once, near a brighter source": 2}


def _flood(rows: Rows, frame: Frame) -> str:
    """Say if one detection takes a large part of a frame: its background was not found."""
    area = frame.shape[0] * frame.shape[1]
    most = rows.most_pixels
    if area and most > _FLOOD * area:
        return f"one detection takes {most / area:.0%} of it: its background was not found"
    return ""


def _moved(places: Sequence[Place], frames: Sequence[Frame]) -> bool:
    """Whether the sky moved over the detector by more than stars need to be told from hot pixels."""
    known: dict[int, list[NDArray[np.float64]]] = {}
    for place, frame in zip(places, frames, strict=True):
        if place.affine is not None and place.how != "alone":
            middle = np.array([frame.shape[1] / 2.0]), np.array([frame.shape[0] / 2.0])
            known.setdefault(place.field, []).append(np.concatenate(place.affine(*middle)))
    return any(float(np.max(np.ptp(np.array(each), axis=0))) > 6.0 for each in known.values())
