"""The page of a watch: how the night goes, written anew after each image, which reloads itself."""

import logging
import os
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from string import Template
from typing import Self

from .._util.plain_number import number_of
from .._util.wording import in_options
from ..errors import InputError
from ..io.files import check_place, written_whole
from ..runs.journal import Line, slot_of
from . import charts
from .current import current_lines
from .drift import Drift, section
from .journal import read_journals
from .markup import Cell, escaped, maybe, part, percent, sortable, whole, words
from .one import utc

log = logging.getLogger(__name__)

_SUFFIXES = {".html", ".htm"}
_MARK = '<meta name="generator" content="rbinfer watch">'
_RELOAD = 5  # seconds
_DRAWN = 300  # newest images in the charts
_LISTED = 100  # newest images in the table
_ORDER = "the newest last"
_COUNTED = ("images", "detections", "real", "bogus", "unscored")
_FAILED = 100  # newest failures in the table
#: Sources of a FWHM that is not that of the image's own stars.
_ASSUMED = ("borrowed", "header", "catalogue", "assumed")


@dataclass
class LivePage:
    """What the page tells.

    Parameters
    ----------
    path : Path
        The page; a page of an earlier watch is replaced.
    title : str
    drift : Drift, optional
        What frames are compared with, and the alarms so far.
    """

    path: Path
    title: str
    drift: Drift | None = None
    # By what the results of an image in all formats have in common; the last came last.
    _newest: dict[str, Line] = field(default_factory=dict)
    _failed: dict[str, Line] = field(default_factory=dict)
    _counted: dict[str, tuple[int, ...]] = field(default_factory=dict)
    _counts: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(
        cls,
        path: str | os.PathLike[str],
        folder: str | os.PathLike[str],
        drift: Drift | None = None,
    ) -> Self:
        """Make the page of a directory of results, with what its journals note so far.

        Parameters
        ----------
        path : str or path
            The page, ``.html``.
        folder : str or path
            Of the results.
        drift : Drift, optional
            As for the class.

        Raises
        ------
        InputError
            It cannot be written there, or what is there is no page of a watch.
        """
        target = Path(path)
        if target.suffix.lower() not in _SUFFIXES:
            raise InputError(f"the report is an HTML file; call it {target.with_suffix('.html').name}")
        if target.parent.exists() or os.path.realpath(target.parent) != os.path.realpath(folder):
            check_place(target, overwrite=_is_live(target))
        page = cls(target, f"Watch: {Path(folder).resolve().name}", drift)
        lines = current_lines(read_journals(Path(folder))) if Path(folder).is_dir() else {}
        for line in sorted(lines.values(), key=lambda line: line.finished):
            page._take(line)
        return page

    def add(self, line: Line) -> None:
        """Take what came of an image, and write the page: whole, in the place of the one before."""
        self._take(line)
        self.write()

    def write(self) -> None:
        """Write the page; raises `RbinferError` where the file system refuses."""
        with written_whole(self.path, self.path.suffix) as beside:
            # Names of files need not be UTF-8.
            beside.write_text(self.render(), encoding="utf-8", errors="replace")

    def render(self) -> str:
        """Return the page, HTML that refers to nothing outside itself."""
        drift = "" if self.drift is None else section(self.drift)
        sections = [self._head(), self._failures(), drift, self._charts(), self._images()]
        page = Template(part("page.html")).substitute(
            title=escaped(self.title),
            style=part("page.css"),
            script=part("page.js"),
            body="\n".join(section for section in sections if section),
        )
        reload = f'{_MARK}\n<meta http-equiv="refresh" content="{_RELOAD}">\n<title>'
        return page.replace("<title>", reload, 1)

    def _take(self, line: Line) -> None:
        """Take a line in the place of an earlier one of its image."""
        if not line.image:
            return
        slot = slot_of(line.output)
        self._failed.pop(slot, None)
        self._newest.pop(slot, None)
        before = self._counted.pop(slot, (0,) * len(_COUNTED))
        self._counts.subtract(dict(zip(_COUNTED, before, strict=True)))
        if not line.ok:
            self._failed[slot] = line
            return
        self._newest[slot] = line
        if len(self._newest) > _DRAWN:
            del self._newest[next(iter(self._newest))]
        self._counted[slot] = (1, *(_count(line, key) for key in _COUNTED[1:]))
        self._counts.update(dict(zip(_COUNTED, self._counted[slot], strict=True)))

    def _head(self) -> str:
        counts = self._counts
        scored = counts["real"] + counts["bogus"]
        share = f" ({percent(counts['bogus'] / scored)})" if scored else ""
        tiles = [
            ("images", counts["images"], "images"),
            ("detections", counts["detections"], "detections"),
            ("real", counts["real"], "real"),
            ("bogus", counts["bogus"], f"bogus{share}"),
            ("unscored", counts["unscored"], "unscored"),
            ("failed", len(self._failed), "failed"),
        ]
        listed = "".join(
            f'<li class="{kind if n else ""}"><b>{n:,}</b>{label}</li>' for kind, n, label in tiles
        )
        last = ""
        if self._newest:
            line = next(reversed(self._newest.values()))
            when = escaped(utc(line.finished))
            last = f"<p>Last: <b>{escaped(Path(line.image).name)}</b>, {when} UTC.</p>"
        now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
        return (
            f'<header><h1>{escaped(self.title)}</h1><p class="muted">Written {now} UTC; reloads every '
            f'{_RELOAD} seconds.</p></header><ul class="tiles">{listed}</ul>{last}'
        )

    def _failures(self) -> str:
        rows = [
            [
                words(Path(line.image).name),
                words(in_options(" ".join((line.error or "no reason is noted").split())), "wrap"),
                words(utc(line.finished)),
            ]
            for line in list(self._failed.values())[-_FAILED:][::-1]
        ]
        if not rows:
            return ""
        return "<h2>Failed images</h2>" + sortable("failed", ["Image", "Reason", "When (UTC)"], rows)

    def _charts(self) -> str:
        if len(self._newest) < 2:
            return ""
        lines = list(self._newest.values())
        names = [Path(line.image).name for line in lines]
        summaries = [line.summary or {} for line in lines]
        hollow = [found.get("fwhm_source") in _ASSUMED for found in summaries]
        widths = [number_of(found, "fwhm", 0) for found in summaries]
        fwhm = charts.trend(widths, names, "FWHM", hollow=hollow, order=_ORDER)
        fractions = [_share(line) for line in lines]
        shares = charts.trend(fractions, names, "Bogus fraction", percent=True, order=_ORDER)
        note = (
            '<p class="muted">Hollow: of images without stars of their own.</p>' if any(hollow) else ""
        )
        return (
            '<h2>As the images came</h2><div class="charts">'
            f"<div><h3>FWHM (px)</h3>{fwhm}{note}</div>"
            f"<div><h3>Bogus fraction</h3>{shares}</div></div>"
        )

    def _images(self) -> str:
        heads = ["Image", "Detections", "Real", "Bogus", "Unscored", "Bogus fraction"]
        heads += ["FWHM (px)", "FWHM from", "Finished (UTC)", "Seconds"]
        rows = [_row(line) for line in list(self._newest.values())[-_LISTED:][::-1]]
        if not rows:
            return '<p class="muted">No image has been scored yet.</p>'
        more = self._counts["images"] - len(rows)
        said = f'<p class="muted">The newest first; {more:,} more before.</p>' if more > 0 else ""
        return f"<h2>Images</h2>{said}" + sortable("images", heads, rows)


def _row(line: Line) -> list[Cell]:
    found = line.summary or {}
    name = f'<span title="{escaped(line.image)}">{escaped(Path(line.image).name)}</span>'
    return [
        Cell(name, kind="text"),
        *(whole(_count(line, key)) for key in ("detections", "real", "bogus", "unscored")),
        maybe(_share(line), percent),
        maybe(number_of(found, "fwhm", 0), "{:.2f}".format),
        words(str(found.get("fwhm_source", ""))),
        words(utc(line.finished)),
        maybe(line.seconds, "{:.1f}".format),
    ]


def _share(line: Line) -> float | None:
    """Return the share of the bogus in the scored detections; None without any."""
    bogus, real = _count(line, "bogus"), _count(line, "real")
    return bogus / (bogus + real) if bogus + real else None


def _count(line: Line, key: str) -> int:
    """Return a count of the summary; 0 where it is damaged."""
    return int(number_of(line.summary or {}, key, 0) or 0)


def _is_live(path: Path) -> bool:
    """Whether a file is a page of a watch."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return _MARK in file.read(2000)
    except OSError:
        return False
