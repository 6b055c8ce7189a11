"""The page of a night's report, from what was read to HTML."""

import json
from collections import Counter
from collections.abc import Sequence
from string import Template

import numpy as np

from .._util.sentences import counted, noun
from ..night.repeats import RADIUS, Repeat, Repeats, least_images
from ..pipeline.summary import BINS
from . import charts, completeness
from .completeness import Depth
from .drift import Drift, section
from .markup import Cell, escaped, legend, maybe, part, percent, score, sortable, whole, words
from .one import FIRST, ImageResult
from .pictures import Group, Picture
from .reference import Reference
from .results import Night
from .stars import Star

_MOST_ROWS = 1000  # of repeating positions; a page must open
#: Sources of a FWHM that is not that of the image's own stars.
_ASSUMED = ("borrowed", "header", "catalogue", "assumed")
_UNDECIDED = slice(2, BINS - 2)  # bins of the scores from 0.1 to 0.9


def render(
    night: Night,
    repeats: Repeats,
    groups: Sequence[Group],
    stars: Sequence[Star],
    reference: Reference,
    drift: Drift | str,
    depths: Sequence[Depth] | None,
    title: str,
) -> str:
    """Return the page.

    Parameters
    ----------
    night : Night
    repeats : Repeats
    groups : sequence of Group
    stars : sequence of Star
    reference : Reference
    drift : Drift or str
        The reason why nothing is compared.
    depths : sequence of Depth or None
        What became of planted stars; None where none were asked for.
    title : str

    Returns
    -------
    str
        HTML that refers to nothing outside itself.
    """
    sections = [
        _head(night, title),
        _failures(night),
        section(drift),
        _images(night),
        _trends(night),
        _stars(stars),
        "" if depths is None else completeness.section(depths),
        _scores(night, reference),
        _classes(night),
        _cutouts(night, groups),
        _repeats(night, repeats),
        _skipped(night),
    ]
    return Template(part("page.html")).substitute(
        title=escaped(title),
        style=part("page.css"),
        script=part("page.js"),
        body="\n".join(section for section in sections if section),
    )


def _head(night: Night, title: str) -> str:
    scored = sum(image.scored for image in night.images)
    bogus = sum(image.bogus for image in night.images)
    detections = sum(image.detections for image in night.images)
    tiles = [
        ("images", len(night.images), noun(len(night.images), "image")),
        ("detections", detections, noun(detections, "detection")),
        ("real", scored - bogus, "real"),
        ("bogus", bogus, f"bogus ({percent(bogus / scored)})" if scored else "bogus"),
        ("unscored", sum(image.unscored for image in night.images), "unscored"),
        ("failed", len(night.failed), "failed"),
    ]
    listed = "".join(
        f'<li class="{kind if n else ""}"><b>{n:,}</b>{label}</li>' for kind, n, label in tiles
    )
    notes = "".join(f"<li>{escaped(note)}</li>" for note in night.notes)
    return (
        f"<header><h1>{escaped(title)}</h1>{_made_by(night.images)}</header>"
        f'<ul class="tiles">{listed}</ul>' + (f'<ul class="notes">{notes}</ul>' if notes else "")
    )


def _made_by(images: Sequence[ImageResult]) -> str:
    """Say which models, options and releases made the scores, and when."""
    lines = []
    for image in images:
        facts = [f"model {image.model} {image.version}" if image.model else "model not noted"]
        if image.hash:
            facts.append(f"SHA-256 {image.hash[:12]}")
        if image.release:
            facts.append(f"rbinfer {image.release}")
        if image.real_classes:
            facts.append(f"real: {', '.join(image.real_classes)}")
        facts += [f"{name} {value}" for name, value in _options(image.options)]
        lines.append(", ".join(facts))
    times = sorted(image.finished for image in images if image.finished)
    scored = [f"Scored from {times[0]} to {times[-1]} UTC."] if times else []
    several = []
    for line in dict.fromkeys(lines):
        n = lines.count(line)
        several.append(line if n == len(lines) else f"{line} ({counted(n, 'image')})")
    return "".join(f'<p class="muted made">{escaped(line)}</p>' for line in several + scored)


def _options(text: str) -> list[tuple[str, str]]:
    try:
        options = json.loads(text or "{}")
    except json.JSONDecodeError:
        return [("options", text)]
    if not isinstance(options, dict):
        return []
    return [(str(k), " ".join(map(str, v if isinstance(v, list) else [v]))) for k, v in options.items()]


def _failures(night: Night) -> str:
    if not night.failed:
        return ""
    rows = [
        [words(name), words(reason, "wrap"), words(finished)] for name, reason, finished in night.failed
    ]
    return "<h2>Failed images</h2>" + sortable("failed", ["Image", "Reason", "When (UTC)"], rows)


def _images(night: Night) -> str:
    if not night.images:
        return ""
    by_journal = [image for image in night.images if image.finished or image.seconds is not None]
    heads = [
        "Image",
        "Detections",
        "Real",
        "Bogus",
        "Unscored",
        "Bogus fraction",
        "FWHM (px)",
        "FWHM from",
        "Ellipticity",
        "Threshold",
        *(name.replace("_", " ") for name in night.classes),
        *(("Finished (UTC)", "Seconds") if by_journal else ()),
    ]
    rows = []
    for image in night.images:
        hint = escaped(f"{image.noted or image.name} ({image.result.name})")
        row = [Cell(f'<span title="{hint}">{escaped(image.name)}</span>', kind="text")]
        row += [whole(n) for n in (image.detections, image.real, image.bogus, image.unscored)]
        row.append(maybe(image.bogus_fraction, percent))
        row.append(maybe(image.fwhm, "{:.2f}".format))
        row.append(words(image.fwhm_source))
        row.append(maybe(image.ellipticity, "{:.2f}".format))
        row.append(Cell(f"{image.threshold:.4g}", image.threshold))
        row += [whole(sum(image.classes.get(name, (0, 0)))) for name in night.classes]
        if by_journal:
            row.append(words(image.finished))
            row.append(maybe(image.seconds, "{:.1f}".format))
        rows.append(row)
    return (
        "<h2>Images</h2>"
        '<p class="muted">A click on a heading sorts, another one the other way round. Under the name '
        "of a class: scored detections that are most probably of it.</p>"
        + sortable("images", heads, rows)
        + _status(night)
    )


def _status(night: Night) -> str:
    """Say what the status words of the rows say, most frequent first."""
    total: Counter[str] = Counter()
    for image in night.images:
        total.update(image.status)
    if not total:
        return ""
    listed = ", ".join(f"{times:,} {name}" for name, times in total.most_common())
    return f'<p class="muted made">Noted of detections (rb_status): {escaped(listed)}.</p>'


def _trends(night: Night) -> str:
    images, order = list(night.images), "by name"
    if len(images) < 2:
        return ""
    if all(image.observed for image in images):
        images, order = sorted(images, key=lambda image: image.observed), "by time"
    names = [image.name for image in images]
    is_assumed = [image.fwhm_source in _ASSUMED for image in images]
    widths = [image.fwhm for image in images]
    fwhm = charts.trend(widths, names, "FWHM", hollow=is_assumed, order=order)
    ellipticities = [image.ellipticity for image in images]
    shape = ""
    if any(value is not None for value in ellipticities):
        chart = charts.trend(ellipticities, names, "Ellipticity", order=order)
        shape = f"<div><h3>Ellipticity of the stars (1 - b / a)</h3>{chart}</div>"
    said = (
        ""
        if not any(is_assumed)
        else ('<p class="muted">Hollow: of images without stars, whose FWHM is borrowed or assumed.</p>')
    )
    fractions = [image.bogus_fraction for image in images]
    fraction = charts.trend(fractions, names, "Bogus fraction", percent=True, order=order)
    return (
        '<h2>Through the night</h2><div class="charts">'
        f"<div><h3>FWHM (px)</h3>{fwhm}{said}</div>{shape}"
        f"<div><h3>Bogus fraction</h3>{fraction}</div></div>"
    )


def _stars(stars: Sequence[Star]) -> str:
    if not stars:
        return ""
    figures = []
    for title, image, url in stars:
        facts = [f"FWHM {image.fwhm:.2f} px"]
        if image.ellipticity is not None:
            facts.append(f"ellipticity {image.ellipticity:.2f}")
        name = escaped(image.name)
        figures.append(
            f'<figure class="star"><img src="{url}" alt="mean star of {name}"><figcaption>'
            f"<b>{title}</b> {', '.join(facts)}<br>{name}</figcaption></figure>"
        )
    return (
        "<h2>Stars</h2>"
        '<p class="muted">The mean star of three images, sharpest to widest, each scaled to the same '
        f'FWHM; the stretch is asinh.</p><div class="cutouts">{"".join(figures)}</div>'
    )


def _scores(night: Night, reference: Reference) -> str:
    bogus, real = night.histogram
    total = int(night.histogram.sum())
    if total == 0:
        return ""
    thresholds = {image.threshold for image in night.images}
    threshold = thresholds.pop() if len(thresholds) == 1 else None
    undecided = percent(float((bogus + real)[_UNDECIDED].sum() / total))
    said = f"{undecided} of the scores lie between 0.1 and 0.9"
    if reference.counts is None:
        said += f". No reference is drawn: {escaped(reference.missing)}."
    else:
        expected = float(reference.counts[_UNDECIDED].sum() / reference.counts.sum())
        said += (
            f"; {percent(expected)} would by the reference: the model's scores of held-out simulation, "
            "with as many real and bogus as here."
        )
    keys = [("bogus", "bogus"), ("real", "real")]
    keys += [("threshold", f"threshold {threshold:.4g}")] if threshold is not None else []
    keys += [("reference", "reference")] if reference.counts is not None else []
    return (
        f'<h2>Scores</h2><p>{said}</p><div class="charts"><div>'
        + charts.histogram(bogus, real, reference.counts, threshold)
        + f"{legend(keys)}</div></div>"
    )


def _classes(night: Night) -> str:
    if not night.classes:
        return ""
    counts = [
        np.sum([image.classes.get(name, (0, 0)) for image in night.images], axis=0)
        for name in night.classes
    ]
    most = max(int(pair.sum()) for pair in counts)
    all_scored, all_bogus = sum(image.scored for image in night.images), night.histogram[0].sum()
    rows = []
    for name, (real, bogus) in zip(night.classes, counts, strict=True):
        n = int(real + bogus)
        rows.append(
            [
                words(name.replace("_", " ")),
                whole(n),
                whole(int(real)),
                whole(int(bogus)),
                maybe(bogus / n if n else None, percent),
                maybe(bogus / all_scored if all_scored else None, percent),
                maybe(bogus / all_bogus if all_bogus else None, percent),
                Cell(charts.share_bar(int(bogus), int(real), most), n, "text"),
            ]
        )
    rows.sort(key=lambda row: -(row[1].value or 0))
    heads = [
        "Class",
        "Detections",
        "Real",
        "Bogus",
        "Bogus in class",
        "Of all scored",
        "Of all bogus",
        "Bogus and real",
    ]
    return (
        "<h2>Bogus by class</h2>"
        '<p class="muted">By the most probable class of each scored detection.</p>'
        + sortable("classes", heads, rows)
    )


def _cutouts(night: Night, groups: Sequence[Group]) -> str:
    if not night.histogram.sum():
        return ""
    parts = [
        "<h2>Cutouts</h2>",
        '<p class="muted">Score, most probable class, image and 0-based position under each; the origin '
        "is at the lower left, the stretch asinh, each for itself. Positions that repeat are left to "
        "the last group.</p>",
        legend([("bogus", "bogus"), ("real", "real")]),
    ]
    for group in groups:
        if group.pictures:
            figures = "".join(_figure(night, picture) for picture in group.pictures)
            body = f'<div class="cutouts">{figures}</div>'
        elif group.title == "Repeating positions":
            continue
        else:
            body = '<p class="muted">None.</p>'
        parts.append(f"<h3>{group.title}</h3><p>{escaped(group.text)}</p>{body}")
    return "".join(parts)


def _figure(night: Night, picture: Picture) -> str:
    source = picture.source
    image = night.images[source["image"]]
    place = f"x {source['x']:.1f}, y {source['y']:.1f}"
    if len(night.images_of_hdu) > 1 and source["hdu"] != FIRST:
        place += f", HDU\u00a0{source['hdu']}"
    drawn = (
        f'<img src="{picture.url}" alt="cutout of {escaped(image.name)} at {place}">'
        if picture.url
        else '<div class="gone">image not found</div>'
    )
    return (
        f'<figure class="{"real" if source["real"] else "bogus"}">{drawn}<figcaption>'
        f"<b>{score(source['score'])}</b> {escaped(_kind(night, source['kind']))}<br>"
        f"{escaped(image.name)}<br>{place}</figcaption></figure>"
    )


def _repeats(night: Night, repeats: Repeats) -> str:
    if not night.images:
        return ""
    parts = ['<h2 id="repeating">Repeating positions of bogus</h2>']
    least = {hdu: least_images(n) for hdu, n in night.images_of_hdu.items()}
    needed = " or ".join(str(n) for n in sorted(set(least.values())))
    parts.append(
        f"<p>Bogus within {RADIUS:g} px of each other in at least {needed} images: hot pixels, bad "
        "columns and other flaws of the detector, worth a mask (<code>--mask</code>). In a series "
        "without dithering sources of the sky repeat too; see their cutouts.</p>"
    )
    listed = _repeat_table(night, repeats.found) if repeats.found else '<p id="no-repeats">None.</p>'
    parts.append(listed)
    # Of a mosaic those alone that have something to show.
    with_repeats = {repeat.hdu for repeat in repeats.found}
    shown = sorted(hdu for hdu in night.extent if hdu in with_repeats or len(night.extent) == 1)
    maps = "".join(_map(night, hdu, [one for one in repeats.found if one.hdu == hdu]) for hdu in shown)
    return "".join(parts) + f'<div class="charts">{maps}</div>'


def _map(night: Night, hdu: int, found: Sequence[Repeat]) -> str:
    parts = (part[part["hdu"] == hdu] for part in night.bogus.parts())
    places = ((of["x"], of["y"]) for of in parts)
    marked = [
        (repeat.x, repeat.y, f"x {repeat.x:.1f}, y {repeat.y:.1f}: {repeat.images} images")
        for repeat in found
    ]
    title = "" if hdu == FIRST else f", HDU {hdu}"
    return (
        f"<div><h3>Bogus on the detector{title}</h3>"
        f'<p class="muted">{night.bogus_of_hdu[hdu]:,} detections, {len(found):,} positions that repeat '
        "(circles).</p>"
        f"{charts.detector_map(places, marked, night.extent[hdu])}</div>"
    )


def _repeat_table(night: Night, found: Sequence[Repeat]) -> str:
    several = len(night.images_of_hdu) > 1
    heads = ["x", "y", "Images", "Share", "Most are", "Mean score", *(["HDU"] if several else [])]
    rows = []
    for repeat in found[:_MOST_ROWS]:
        row = [
            Cell(f"{repeat.x:.2f}", repeat.x),
            Cell(f"{repeat.y:.2f}", repeat.y),
            whole(repeat.images),
            Cell(percent(repeat.share), repeat.share),
            words(_kind(night, repeat.kind)),
            Cell(score(repeat.score), repeat.score),
        ]
        rows.append([*row, whole(repeat.hdu)] if several else row)
    more = (
        f'<p class="muted">The first {_MOST_ROWS:,} of {len(found):,} are listed; the map has all.</p>'
        if len(found) > _MOST_ROWS
        else ""
    )
    return more + sortable("repeats", heads, rows)


def _skipped(night: Night) -> str:
    if not night.skipped:
        return ""
    rows = [[words(name), words(reason, "wrap")] for name, reason in night.skipped]
    return "<h2>Files left out</h2>" + sortable("skipped", ["File", "Reason"], rows)


def _kind(night: Night, number: int) -> str:
    return night.classes[number].replace("_", " ") if number >= 0 else ""
