"""``rbtrain sheet``: simulated detections of every class beside labelled real ones."""

import argparse
from pathlib import Path
from typing import Any

from rbinfer.cli.parser import Parser, add_verb


def add_parser(verbs: Any) -> Parser:
    """Add the verb."""
    parser = add_verb(
        verbs,
        "sheet",
        summary="draw what is simulated, class by class, beside real detections",
        description=(
            "Draw cutouts of every simulated class and, with --images, of labelled real detections."
        ),
        example="rbtrain sheet my.toml --images labelled/ -o sheet.png",
    )
    parser.add_argument("config", metavar="CONFIG", type=Path, help="TOML file of the training")
    parser.add_argument("--images", type=Path, help="folder of labelled images (NAME.ecsv, NAME.fits)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="picture (PNG or PDF)")
    parser.add_argument("--per-class", type=int, default=12, help="cutouts a row (default: 12)")
    parser.add_argument("--seed", type=int, default=0, help="another seed shows other frames")
    return parser


def run(options: argparse.Namespace) -> int:
    """Draw the sheet; print how many there are of each."""
    from ..config import TrainConfig
    from ..judging.sheet import draw_sheet, real_tiles, simulated_tiles

    if options.per_class < 1 or options.seed < 0:
        raise ValueError("--per-class must be at least 1 and --seed at least 0")
    if options.output.suffix.lower() not in (".png", ".pdf"):
        raise ValueError(f"{options.output} must end in .png or .pdf")
    if not options.output.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {options.output.parent} for {options.output.name}")
    config = TrainConfig.read(options.config)
    real = {}
    if options.images is not None:
        real = real_tiles(options.images, options.per_class, options.seed)
    rows = dict(simulated_tiles(config, options.per_class, options.seed))
    rows.update({f"real images: {name}": tiles for name, tiles in real.items()})
    draw_sheet(rows, options.output)
    for name, tiles in rows.items():
        print(f"{name:20s} {len(tiles):4d}")
    return 0
