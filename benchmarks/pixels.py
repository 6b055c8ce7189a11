"""From pixels to a catalogue: rbinfer beside SExtractor, SEP and photutils.

    python benchmarks/pixels.py [--frames NAME ...] [--batch N] [--repeats N] [--json FILE]

Frames of 16-bit integers, sparse and crowded, as a camera writes them. What is timed, in turns:

- SExtractor (``source-extractor`` of Debian), which writes its catalogue; left out where it is absent;
- SEP and rbinfer's detector, on pixels in memory; photutils' ``DAOStarFinder`` too, on the smaller
  frames, after a background of its own;
- ``rbinfer classify`` as a process of its own, without a catalogue by either detector, and with one;
- N frames of 16 MP (``--batch``): SExtractor, a process for each CPU at a time, and ``rbinfer batch``.

Wall and CPU seconds of a process are its own and its children's; its memory is the most it ever had.
Before anything is timed, the detections of rbinfer must be SEP's: as many as `AGREE` of those half a
sigma above the threshold, one to one, and as many centroids and fluxes of single ones, within 0.02 px
and 1 %.
"""

import argparse
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import sep
from _common import add_json, children_import_this_checkout, processor, write_json

from rbinfer._util.machine import usable_cpus
from rbinfer.diagnostics.bench import make_scene
from rbinfer.io.images import load_image
from rbinfer.kernels import constants as c
from rbinfer.measure.detect import detect
from rbinfer.measure.islands import find_detections
from rbinfer.measure.sep_detector import extract

#: Side in pixels, and stars.
FRAMES = {
    "4 MP": (2048, 3200),
    "4 MP, crowded": (2048, 23_000),
    "16 MP": (4096, 12_800),
    "16 MP, crowded": (4096, 92_000),
    "225 MP": (15_000, 172_000),
}
DEFAULT = ("4 MP", "4 MP, crowded", "16 MP")
THRESHOLD, MINAREA, CONTRAST = 5.0, 3, 0.005
AGREE = 0.995
#: Gain that the detection must have over SEP, or it was not worth its code.
GAIN = 2.5
_LARGEST_FOR_PHOTUTILS = 5e6
_PARAMETERS = (
    "NUMBER", "X_IMAGE", "Y_IMAGE", "XPEAK_IMAGE", "YPEAK_IMAGE", "FLUX_ISO", "FLUX_MAX", "A_IMAGE",
    "B_IMAGE", "THETA_IMAGE", "ISOAREA_IMAGE", "FLAGS",
)  # fmt: skip


def tiled_scene(side, stars):
    """Return a scene; larger ones repeat one with 20,000 stars, as many as `make_scene` draws."""
    tile = min(side, 2048 if stars / side**2 > 3e-3 else 4096, side)
    density = stars / side**2
    image = make_scene(tile, round(density * tile**2)).image
    times = -(-side // tile)
    return np.tile(image, (times, times))[:side, :side]


def write_frame(folder, name):
    """Write a frame of 16-bit integers, and a catalogue of what rbinfer detects; returns both."""
    from astropy.io import fits

    image = folder / f"{name.replace(' ', '_').replace(',', '')}.fits"
    pixels = np.clip(np.round(tiled_scene(*FRAMES[name])), 0, 65535).astype(np.uint16)
    fits.writeto(image, pixels)
    catalog = image.with_suffix(".cat.fits")
    detect(load_image(str(image)).pixels, detector="rbinfer").write(catalog)
    return image, catalog


# ------------------------------------------------------------------------------------- agreement


def agreement(pixels):
    """Compare rbinfer's detections with SEP's; returns shares, and how many there are of each."""
    from scipy.spatial import cKDTree

    how = (THRESHOLD, MINAREA, True, CONTRAST)
    rows, seps = find_detections(pixels, None, *how, 1), extract(pixels, None, *how)
    ours = rows[:, [c.FIRST_X, c.FIRST_Y]]
    theirs = np.column_stack([seps["x"], seps["y"]])
    distance, to_sep = cKDTree(theirs).query(ours)
    _, to_ours = cKDTree(ours).query(theirs)
    same = (to_ours[to_sep] == np.arange(len(ours))) & (distance < 1)
    half = (1 + 0.5 / THRESHOLD) * 0.375
    bright = rows[:, c.PEAK_SMOOTH] > half * rows[:, c.THRESHOLD]
    bright_sep = seps["cpeak"] > half * seps["thresh"]
    found = np.zeros(len(seps), bool)
    found[to_sep[same]] = True
    single = same & ((rows[:, c.FLAGS].astype(int) & c.MERGED) == 0)
    ratio = rows[single, c.FLUX] / seps["flux"][to_sep[single]]
    return {
        "detections": len(rows),
        "detections_of_sep": len(seps),
        "ours_in_sep": float(same[bright].mean()),
        "seps_in_ours": float(found[bright_sep].mean()),
        "centroids": float(np.mean(distance[single] < 0.02)),
        "fluxes": float(np.mean(np.abs(ratio - 1) < 0.01)),
    }


def check_agreement(name, pixels):
    """Print the agreement, and stop where it is not what is asked for."""
    found = agreement(pixels)
    print(
        f"{name}: {found['detections']:,} detections, SEP {found['detections_of_sep']:,}; one to one "
        f"{found['ours_in_sep']:.2%} of ours and {found['seps_in_ours']:.2%} of SEP's, centroids "
        f"{found['centroids']:.2%}, fluxes {found['fluxes']:.2%}"
    )
    shares = [found[key] for key in ("ours_in_sep", "seps_in_ours", "centroids", "fluxes")]
    if min(shares) < AGREE:
        sys.exit(f"{name}: less than {AGREE:.1%} agree with SEP; nothing was timed")
    return found


# ------------------------------------------------------------------------------------- what is timed


def process(command, folder):
    """Run a command; returns wall and CPU seconds and MB at most."""
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("_launch.py"), *command],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}: {done.stderr[-500:]}")
    return json.loads(done.stdout)


def call(action):
    """Call a function here; returns wall and CPU seconds, and nothing of memory."""
    start, cpu = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - start, time.process_time() - cpu, None


def sextractor(image, folder):
    """Return the command that runs SExtractor with what rbinfer's defaults are, or None."""
    program = shutil.which("source-extractor") or shutil.which("sex")
    if program is None:
        return None
    folder.joinpath("pixels.param").write_text("\n".join(_PARAMETERS) + "\n", encoding="utf-8")
    kernel = "CONV NORM\n1 2 1\n2 4 2\n1 2 1\n"
    folder.joinpath("pixels.conv").write_text(kernel, encoding="utf-8")
    settings = {
        "PARAMETERS_NAME": "pixels.param", "FILTER_NAME": "pixels.conv", "CATALOG_NAME": "pixels.cat",
        "CATALOG_TYPE": "FITS_LDAC", "DETECT_MINAREA": MINAREA, "DETECT_THRESH": THRESHOLD * 0.375,
        "ANALYSIS_THRESH": THRESHOLD * 0.375, "DEBLEND_MINCONT": CONTRAST, "BACK_SIZE": 64,
        "VERBOSE_TYPE": "QUIET", "WRITE_XML": "N", "MEMORY_PIXSTACK": 3_000_000,
    }  # fmt: skip
    return [program, image, *(str(s) for pair in settings.items() for s in (f"-{pair[0]}", pair[1]))]


def photutils_finder(pixels):
    """Return a call of photutils' finder on an image, or None without photutils."""
    try:
        from photutils.background import Background2D
        from photutils.detection import DAOStarFinder
    except ImportError:
        return None

    def find():
        background = Background2D(pixels, 64)
        finder = DAOStarFinder(THRESHOLD * float(background.background_rms_median), 3.0)
        finder(pixels - background.background)

    return find


def actions(name, image, catalog, folder):
    """Return what is timed on a frame, by name."""
    pixels = load_image(str(image)).pixels
    output = folder / "scored.fits"
    rbinfer = [sys.executable, "-m", "rbinfer", "classify", image, "-o", output, "--overwrite", "-q"]
    timed = {}
    command = sextractor(image, folder)
    if command is None:
        print("SExtractor is not installed (Debian: apt install source-extractor): it is left out")
    else:
        timed["SExtractor, catalogue written"] = lambda: process(command, folder)
    timed |= {
        "SEP, in memory": lambda: call(lambda: detect(pixels, detector="sep")),
        "rbinfer's detector, in memory, 1 thread": lambda: call(
            lambda: detect(pixels, detector="rbinfer")
        ),
        f"the same, {usable_cpus()} threads": lambda: call(
            lambda: detect(pixels, detector="rbinfer", threads=usable_cpus())
        ),
    }
    finder = photutils_finder(pixels) if pixels.size < _LARGEST_FOR_PHOTUTILS else None
    if finder is not None:
        timed["photutils, in memory"] = lambda: call(finder)
    return timed | {
        "rbinfer classify --detector sep": lambda: process([*rbinfer, "--detector", "sep"], folder),
        "rbinfer classify --detector rbinfer": lambda: process(
            [*rbinfer, "--detector", "rbinfer"], folder
        ),
        "rbinfer classify, catalogue given": lambda: process([*rbinfer, "--catalog", catalog], folder),
    }


def many(count, folder):
    """Return what is timed on several frames of 16 MP, by name; each run writes its results anew."""
    from astropy.io import fits

    frames = folder / "frames"
    frames.mkdir()
    first = np.clip(np.round(tiled_scene(*FRAMES["16 MP"])), 0, 65535).astype(np.uint16)
    for k in range(count):
        fits.writeto(frames / f"{k:03d}.fits", np.roll(first, 97 * k, axis=(0, 1)))
    timed = {}
    command = sextractor("{}", folder)
    if command is not None:
        where = command.index("-CATALOG_NAME") + 1
        command[where] = "catalogues/{}.cat"
        command[1] = frames / "{}"
        (folder / "catalogues").mkdir()
        line = shlex.join(map(str, command))
        script = f"ls {shlex.quote(str(frames))} | xargs -P {usable_cpus()} -I {{}} {line}"
        timed["SExtractor, catalogues written"] = lambda: process(["sh", "-c", script], folder)
    out = folder / "results"
    fresh = f"rm -rf {shlex.quote(str(out))}; "
    batch = shlex.join([sys.executable, "-m", "rbinfer", "batch", str(frames), "-o", str(out), "-q"])
    timed["rbinfer batch"] = lambda: process(["sh", "-c", fresh + batch], folder)
    return timed


def measure(timed, repeats):
    """Time actions in turns, after one of each that is not counted; returns seconds and MB by name."""
    taken = {name: [] for name in timed}
    for turn in range(repeats + 1):
        for name, action in timed.items():
            result = action()
            if turn:
                taken[name].append(result)
    report = {}
    for name, runs in taken.items():
        wall, cpu, memory = zip(*runs, strict=True)
        report[name] = {
            "wall_s": statistics.median(wall),
            "wall_range_s": [min(wall), max(wall)],
            "cpu_s": statistics.median(cpu),
            "cpu_range_s": [min(cpu), max(cpu)],
            "memory_mb": None if memory[0] is None else max(memory),
        }
    return report


def show(report):
    """Print the table of a frame."""
    for name, row in report.items():
        memory = "" if row["memory_mb"] is None else f"{row['memory_mb']:7.0f} MB"
        low, high = row["wall_range_s"]
        print(
            f"  {name:42s} wall {row['wall_s']:7.3f} s ({low:.3f} to {high:.3f})   CPU "
            f"{row['cpu_s']:7.3f} s {memory}"
        )


def main():
    """Check, time, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", nargs="+", choices=tuple(FRAMES), default=DEFAULT)
    parser.add_argument("--batch", type=int, default=0, help="how many frames of 16 MP, too")
    parser.add_argument("--repeats", type=int, default=9)
    add_json(parser)
    options = parser.parse_args()
    children_import_this_checkout()
    print(f"{processor()}, {usable_cpus()} CPUs; SEP {sep.__version__}; load {os.getloadavg()[0]:.1f}")
    report = {
        "cpu": processor(),
        "cpus": usable_cpus(),
        "sep": sep.__version__,
        "repeats": options.repeats,
        "load": os.getloadavg()[0],
        "frames": {},
    }
    for name in options.frames:
        with TemporaryDirectory() as path:
            folder = Path(path)
            image, catalog = write_frame(folder, name)
            agreed = check_agreement(name, load_image(str(image)).pixels)
            timed = measure(actions(name, image, catalog, folder), options.repeats)
        show(timed)
        ours, seps = timed["rbinfer's detector, in memory, 1 thread"], timed["SEP, in memory"]
        gain = seps["cpu_s"] / ours["cpu_s"]
        print(f"  CPU of SEP over that of one thread of rbinfer's: {gain:.1f} (wanted: {GAIN})")
        report["frames"][name] = {"agreement": agreed, "gain": gain, "timed": timed}
    if options.batch:
        with TemporaryDirectory() as path:
            report["batch"] = measure(many(options.batch, Path(path)), options.repeats)
        print(f"{options.batch} frames of 16 MP")
        show(report["batch"])
        report["batch"]["frames"] = options.batch
    write_json(options.json, report)


if __name__ == "__main__":
    main()
