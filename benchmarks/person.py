"""Plays a person who labels: ``rbinfer label`` in headless Chromium, answered by a truth with mistakes.

    python benchmarks/person.py results/ truth.ecsv --labels 200 --mistakes 0.03 --seed 1

The truth is a table with ``image`` (name of the file), ``row`` (of its scored catalogue) and ``real``.
What it has no row of is skipped. Labels are in ``results/labels.ecsv``, or where -o says.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

_PATIENCE = 120.0  # seconds
#: The detection that is shown, once its picture is there and the page has done with the last answer.
_SHOWN = (
    "if (!document.getElementById('done').hidden) return 'done';"
    "return !busy && current && isSeen() ? [current.image, current.row] : null"
)


def main() -> None:
    """Label, and print what came of it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--labels", type=int, default=200)
    parser.add_argument("--mistakes", type=float, default=0.03, help="share of wrong answers")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    table = Table.read(options.truth)
    truth = {(str(row["image"]), int(row["row"])): bool(row["real"]) for row in table}
    rng = np.random.default_rng(options.seed)
    output = options.output or options.results / "labels.ecsv"
    print(json.dumps(label(options.results, output, truth, options.labels, options.mistakes, rng)))


def label(
    results: Path,
    output: Path,
    truth: Mapping[tuple[str, int], bool],
    labels: int,
    mistakes: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Answer until there are so many labels, or no more detections.

    Returns
    -------
    dict
        ``labels``, ``wrong``, ``skipped``, ``seconds``, and ``progress`` as the page showed it last.
    """
    start = time.perf_counter()
    counts = {"labels": 0, "wrong": 0, "skipped": 0}
    command = [sys.executable, "-m", "rbinfer", "label", str(results), "-o", str(output), "--no-browser"]
    server = subprocess.Popen(
        [*command, "--goal", str(labels), "--who", "script"], stderr=subprocess.PIPE, text=True
    )
    browser = _browser()
    try:
        browser.get(_address(server))
        while counts["labels"] < labels and (shown := _shown(browser)) != "done":
            real = truth.get((shown[0], shown[1]))
            is_wrong = real is not None and rng.random() < mistakes
            key = "s" if real is None else "r" if real != is_wrong else "b"
            counts["skipped" if real is None else "labels"] += 1
            counts["wrong"] += is_wrong
            browser.execute_script(
                "document.dispatchEvent(new KeyboardEvent('keydown', {key: arguments[0]}))", key
            )
        _shown(browser)  # the last answer is on disk
        rates = browser.execute_script("return document.getElementById('rates').innerText")
    finally:
        browser.quit()
        server.terminate()
        server.communicate(timeout=_PATIENCE)
    return counts | {"seconds": round(time.perf_counter() - start, 1), "progress": rates}


def _browser() -> Any:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1400,1000"):
        options.add_argument(argument)
    return webdriver.Chrome(
        options=options, service=webdriver.ChromeService(shutil.which("chromedriver"))
    )


def _address(server: "subprocess.Popen[str]") -> str:
    said = []
    for line in server.stderr or ():
        if "label at " in line:
            return line.split("label at ")[1].strip()
        said.append(line)
    raise SystemExit("".join(said))


def _shown(browser: Any) -> Any:
    give_up = time.monotonic() + _PATIENCE
    while (found := browser.execute_script(_SHOWN)) is None:
        if time.monotonic() > give_up:
            raise SystemExit("the page does not go on")
        time.sleep(0.005)
    return found


if __name__ == "__main__":
    main()
