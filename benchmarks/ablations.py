"""What each choice of the default preset and the simulator is worth: small trainings, one change each.

``python benchmarks/ablations.py [--images DIR] [--only NAME ...] [--json FILE]`` simulates, fits and
measures every variant with the same frames, epochs and seeds, and prints a table. With ``--merge FILE
...`` it prints the table of earlier runs. Figures are for comparison with one another: the trainings are
a tenth of the shipped model's.
"""

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FRAMES, EPOCHS = 900, 5

#: Variant: changes to the shipped configuration, by table.
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "as shipped": {},
    "another seed": {"fit": {"seed": 7}},
    "no wide view": {"network": {"context": False}},
    "no native pixels": {"network": {"core": False, "context": False}},
    "no population": {"network": {"population": False}},
    "no star of the frame": {"network": {"psf": False, "population": False}},
    "none of these": {"network": {"core": False, "context": False, "psf": False, "population": False}},
    "twice the channels": {"network": {"filters": (32, 128, 256)}},
    "fewer late features": {"network": {"native": 48, "judged": 64}},
    "taught by the shipped network": {"fit": {"taught": 0.5}},
    "linear channel by peak": {"preprocess": {"linear_norm": "peak"}},
    "asinh channel by centre": {"preprocess": {"asinh_norm": "centre"}},
    "target FWHM 3": {"preprocess": {"target_fwhm": 3.0}},
    "target FWHM 5": {"preprocess": {"target_fwhm": 5.0}},
    "centre not moved": {"preprocess": {"recentre": 0}},
    "centre within 2 px": {"preprocess": {"recentre": 2}},
    "sparse fields only": {"field": {"crowding": (2e-4, 3e-3), "pair_fraction": (0.0, 0.05)}},
    "round Gaussian PSF only": {
        "psf": {"gaussian": 1.0, "trailed": 0.0, "aberrated": 0.0, "ellipticity": (0.0, 0.01)}
    },
    "FWHM known exactly": {"data": {"fwhm_scatter": 0.0, "fwhm_excess_fraction": 0.0}},
}


def configured(changes: dict[str, dict[str, Any]], frames: int, epochs: int) -> Any:
    """Return the shipped configuration with the changes of a variant."""
    from rbtrain.config import TrainConfig

    config = TrainConfig.read(ROOT / "models" / "default" / "config.toml")
    simulate = config.simulate
    for part in ("field", "psf"):
        changed = dataclasses.replace(getattr(simulate, part), **changes.get(part, {}))
        simulate = dataclasses.replace(simulate, **{part: changed})
    data = {"frames": frames, "test_frames": 150, **changes.get("data", {})}
    # From the beginning: no parent to be moved back to or taught by.
    alone = {"epochs": epochs, "parent_share": 0.0, "taught": 0.0}
    fit_settings: dict[str, Any] = alone | changes.get("fit", {})
    network = dataclasses.replace(config.network, **changes.get("network", {}))
    # A network that is told of no population cannot weigh what is likely.
    weighs = config.preprocess.likely_width and network.population
    preprocess: dict[str, Any] = {"likely_width": weighs, **changes.get("preprocess", {})}
    return dataclasses.replace(
        config,
        preprocess=dataclasses.replace(config.preprocess, **preprocess),
        simulate=simulate,
        data=dataclasses.replace(config.data, **data),
        network=network,
        fit=dataclasses.replace(config.fit, **fit_settings),
    )


def measure(
    name: str, images: list[Path] | None, frames: int, epochs: int, workers: int | None
) -> dict[str, Any]:
    """Train one variant and measure it on the frames of the shipped simulator and on real images."""
    from rbinfer import Classifier
    from rbinfer.model.registry import resolve
    from rbtrain.config import CLASSES
    from rbtrain.data.building import build_dataset
    from rbtrain.export.release import export_run
    from rbtrain.fitting.fit import fit
    from rbtrain.judging.evaluate import evaluate_simulation
    from rbtrain.judging.labelled import measure_groups, score_images

    config = configured(VARIANTS[name], frames, epochs)
    # Every variant is asked about the same sky and the same catalogues; only its cutouts are its own.
    shipped = configured({}, frames, epochs)
    asked = dataclasses.replace(shipped, preprocess=config.preprocess)
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        data = build_dataset(config, where / "train", workers=workers)
        test = build_dataset(asked, where / "test", part="test", workers=workers)
        teacher = resolve("default") if config.fit.taught else None
        fit(config, data, where / "fit", verbose=0, teacher=teacher)
        export_run(config, data, where / "fit" / "best.keras", where / "model.onnx")
        simulated = evaluate_simulation(where / "model.onnx", test)
        result = {
            "cutouts": len(data),
            "simulated": simulated["overall"]["auc"],
            "called_real": {c: simulated["by_class"][c]["called_real"] for c in CLASSES},
        }
        if images is not None:
            groups = score_images(Classifier(where / "model.onnx", device="cpu"), images)
            result["images"] = {
                key: {k: f[k] for k in ("n_real", "n_bogus", "auc", "true_rate", "false_rate")}
                for key, f in measure_groups(groups, 0.5).items()
            }
    return result


def table(results: dict[str, dict[str, Any]]) -> str:
    """Format results as a Markdown table."""
    every = next(iter(results.values())).get("images", {})
    groups = [g for g, f in every.items() if min(f["n_real"], f["n_bogus"]) >= 20]
    head = ["variant", "simulated AUC", *(f"{g}: AUC, kept, let in" for g in groups)]
    lines = ["| " + " | ".join(head) + " |", "| --- " * len(head) + "|"]
    for name, r in results.items():
        cells = [name, f"{r['simulated']:.4f}"]
        for g in groups:
            f = r["images"][g]
            cells.append(f"{f['auc']:.4f}, {f['true_rate']:.3f}, {f['false_rate']:.3f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, nargs="+", help="folders of labelled images")
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--merge", nargs="+", type=Path, help="tables of earlier runs instead")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    if options.merge:
        for path in options.merge:
            results |= json.loads(path.read_text())
        results = {name: results[name] for name in VARIANTS if name in results}
    else:
        for name in options.only:
            results[name] = measure(
                name, options.images, options.frames, options.epochs, options.workers
            )
            print(name, json.dumps(results[name]), flush=True)
            if options.json:  # after each: a variant takes minutes
                options.json.write_text(json.dumps(results, indent=1) + "\n")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
