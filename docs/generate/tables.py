"""Tables of the reference, made from the tables in the code."""

from collections.abc import Iterable, Sequence

from rbinfer.io.formats import FORMATS
from rbinfer.io.masks_out import BITS
from rbinfer.model.registry import shipped_model
from rbinfer.model.session import read_spec
from rbinfer.status import MEANING


def markdown(heading: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table in Markdown."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def pieces() -> dict[str, str]:
    """Return the tables by name."""
    return {
        "status-bits": _status(),
        "mask-bits": _masks(),
        "formats": _formats(),
        "thresholds": _thresholds(),
    }


def _status() -> str:
    rows = [(int(bit), f"`{bit.name}`", text) for bit, text in MEANING.items()]
    return markdown(("bit of `rb_status`", "name", "meaning"), rows)


def _thresholds() -> str:
    """Return what the shipped model's operating points cost, as its file tells, the lowest first."""
    points = sorted(read_spec(shipped_model()).operating_points, key=lambda point: point.threshold)
    rows = []
    for point in points:
        name, rate = point.name.split()
        option = f"`--max-{name} {rate.replace('.0%', '%')}`"
        rows.append((option, f"{point.threshold:.3f}", f"{point.missed:.1%}", f"{point.false:.1%}"))
    return markdown(("option", "threshold", "of the real ones missed", "of the bogus let in"), rows)


def _masks() -> str:
    return markdown(
        ("bit of a mask", "pixels of what was called"),
        [(bit, f"`{name}`") for name, bit in BITS.items()],
    )


def _formats() -> str:
    rows = []
    for each in FORMATS:
        suffixes = " ".join(f"`{suffix}`" for suffix in (*each.suffixes, *each.others))
        written = "yes" if each.write else "back" if each.rewrite else "no"
        if each.write and each.others:
            written = f"`{each.suffixes[0]}`; others back"
        rows.append((f"`{each.name}`", suffixes, each.first_pixel or 0, written))
    heading = ("format", "files that have it, as a rule", "first pixel of `x`, `y`", "written")
    return markdown(heading, rows)
