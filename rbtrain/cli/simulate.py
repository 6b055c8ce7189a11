"""``rbtrain simulate``: labelled cutouts on disk."""

import argparse
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbinfer.cli.parser import Parser, add_verb

from .common import TrainingFolder, add_training, open_training, progress_bar

if TYPE_CHECKING:
    from ..data.dataset import Part

#: Fraction of the frames that take a backdrop unless said.
_FRACTION = 0.5


def add_parser(verbs: Any) -> Parser:
    """Add the verb."""
    parser = add_verb(
        verbs,
        "simulate",
        summary="simulate frames and store their labelled cutouts",
        description=(
            "Simulate frames and store their labelled cutouts: a training set and a test set, whichever "
            "is not there yet. After Ctrl-C or worse, the same command goes on."
        ),
        example=(
            "rbtrain simulate my.toml\n"
            "rbtrain simulate my.toml --darks dark_*.fits --images field_*.fits"
        ),
    )
    add_training(parser)
    parser.add_argument("--workers", type=int, help="processes (default: one for each CPU)")
    parser.add_argument(
        "--validation",
        action="store_true",
        help="draw of the training set the validation frames alone, which is enough for 'rbtrain export "
        "--network'",
    )
    group = parser.add_argument_group(
        "backdrops",
        "Real pixels of your camera, in FITS files at least as large as the frames. What is already in "
        "a sky image is not learnt from, only what is planted on it.",
    )
    group.add_argument(
        "--darks",
        metavar="FILE",
        nargs="+",
        type=Path,
        default=[],
        help="single dark or bias frames, for noise and defects; of three or more of one camera, cosmic "
        "rays are told from hot pixels",
    )
    group.add_argument(
        "--images",
        metavar="FILE",
        nargs="+",
        type=Path,
        default=[],
        help="sky images to plant sources on",
    )
    group.add_argument(
        "--backdrop-fraction",
        metavar="F",
        type=float,
        help=f"fraction of the frames that take one of these files (default: {_FRACTION})",
    )
    return parser


def run(options: argparse.Namespace) -> int:
    """Make the training set, or its validation frames, and the test set: what is not there yet."""
    from ..data.building import build_dataset, check_backdrops
    from ..data.dataset import Dataset
    from ..simulate import describe, identify, open_backdrops

    if options.workers is not None and options.workers < 1:
        raise ValueError(f"--workers must be 1 or more, not {options.workers}")
    config, where = open_training(options)
    files = identify(options.darks, options.images)
    if not files and options.backdrop_fraction is not None:
        raise ValueError("--backdrop-fraction is given without --darks or --images; give some files")
    fraction = _FRACTION if options.backdrop_fraction is None else options.backdrop_fraction
    missing: list[tuple[Part, Path]] = []
    for part, directory in _wanted(options, where):
        if directory.exists():
            Dataset.open(directory, config)  # refuses one of other settings
            check_backdrops(directory, describe(files, fraction) if files else None)
        else:
            missing.append((part, directory))
    if not missing:
        return 0
    shape = (config.simulate.height, config.simulate.width)
    with open_backdrops(files, shape, fraction) if files else nullcontext() as backdrops:
        for part, directory in missing:
            with progress_bar(directory.name, "frame", options.quiet) as progress:
                build_dataset(
                    config,
                    directory,
                    part=part,
                    workers=options.workers,
                    progress=progress,
                    backdrops=backdrops,
                )
    return 0


def _wanted(options: argparse.Namespace, where: TrainingFolder) -> tuple[tuple["Part", Path], ...]:
    """Return the parts to make, and where."""
    first: tuple[Part, Path] = (
        ("validation", where.validation) if options.validation else ("training", where.train)
    )
    return first, ("test", where.test)
