"""The page of a night's doubtful sources: cutouts nearest to the threshold, for a person to decide."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from string import Template

from ..io.files import written_whole
from ..night.result import Doubt
from .markup import escaped, legend, score
from .pictures import draw_windows


def write_doubtful(
    doubts: Sequence[Doubt],
    path: Path,
    title: str,
    plane: str | None = None,
    bayer: bool | None = None,
) -> None:
    """Write the page; it needs no other file and no network.

    Parameters
    ----------
    doubts : sequence of Doubt
        In the order in which they are shown.
    path : Path
        Replaced if it is there.
    title : str
    plane, bayer
        What was scored, as for `rbinfer.io.images.load_image`.

    Raises
    ------
    RbinferError
        The file system refused.
    """
    places = [((doubt.image, doubt.hdu), doubt.x, doubt.y, doubt.fwhm) for doubt in doubts]
    urls = draw_windows(places, plane, bayer)
    figures = "".join(_figure(doubt, url) for doubt, url in zip(doubts, urls, strict=True))
    body = (
        f"<header><h1>{escaped(title)}</h1>"
        '<p class="muted">The sources whose probability is nearest to 0.5, the nearest first; those '
        "below 0.1 and above 0.9 are there to compare. The "
        "cutout is of the detection with the largest S/N. Under it stand: night, the probability by the "
        "scores and repeats of all frames; this frame, score and class in the frame that is shown; how "
        "many of the frames that cover the place show it; its id in sources.ecsv; and the row in the "
        "scored catalogue of the image.</p>"
        f"{legend([('bogus', 'bogus'), ('real', 'real')])}</header>"
        f'<div class="cutouts">{figures}</div>'
        if doubts
        else f"<header><h1>{escaped(title)}</h1><p>No source is doubtful.</p></header>"
    )
    parts = files(__package__)
    page = Template(parts.joinpath("page.html").read_text(encoding="utf-8").strip()).substitute(
        title=escaped(title),
        style=parts.joinpath("page.css").read_text(encoding="utf-8").strip(),
        script="",
        body=body,
    )
    with written_whole(path, path.suffix) as beside:
        beside.write_text(page, encoding="utf-8", errors="replace")


def _figure(doubt: Doubt, url: str) -> str:
    name = escaped(Path(doubt.image).name)
    place = f"x {doubt.x:.1f}, y {doubt.y:.1f}"
    drawn = (
        f'<img src="{url}" alt="cutout of {name} at {place}">'
        if url
        else '<div class="gone">image not found</div>'
    )
    single = "unscored" if doubt.score != doubt.score else score(doubt.score)
    kind = escaped(f", {doubt.kind.replace('_', ' ')}" if doubt.kind else "")
    return (
        f'<figure class="{"real" if doubt.probability > 0.5 else "bogus"}">{drawn}<figcaption>'
        f"night <b>{score(doubt.probability)}</b><br>this frame {single}{kind}<br>"
        f"in {doubt.n_seen} of {doubt.n_cover} frames<br>id {doubt.id}, row {doubt.row}<br>"
        f"{name}<br>{place}</figcaption></figure>"
    )
