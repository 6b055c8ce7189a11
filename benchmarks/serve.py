"""``rbinfer serve`` under load, against a new process for each image.

    python benchmarks/serve.py [--clients 16] [--seconds 300] [--image FILE] [--json FILE]

Clients ask again and again for the image by its path, each with positions of its own, and compare every
answer with what each was answered when it asked alone. Wrong and lost answers are counted, and fail the
benchmark. Beside it, the same image is scored by ``rbinfer classify --json``, a new process each time,
one at a time.
"""

import argparse
import contextlib
import http.client
import json
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from _common import ROOT, add_json, children_import_this_checkout, processor, write_json

FIELD = ROOT / "benchmarks" / "example" / "field.fits"
#: Seconds after which it is said how far it is.
OFTEN = 20.0
COMMAND = [sys.executable, "-m", "rbinfer"]


@contextlib.contextmanager
def service(folder):
    """Run the service while the block lasts; yields its port."""
    command = [*COMMAND, "serve", "--port", "0", "--allow", str(folder)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        line = next(text for text in process.stderr if "listening at" in text)
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield int(line.strip().rsplit(":", 1)[1])
        process.terminate()
        if process.wait() != 0:
            sys.exit(f"the service ended with exit code {process.returncode}")


class Client(threading.Thread):
    """Asks for one share of the rows again and again, and holds the answers against the first."""

    def __init__(self, port, image, rows):
        super().__init__()
        self._port = port
        self._xy = {name: [row[name] for row in rows] for name in ("x", "y")}
        asked = {"image": str(image), "positions": self._xy, "options": {"trust_positions": True}}
        self._body = json.dumps(asked).encode()
        self.until = 0.0
        self.seconds, self.wrong = [], 0
        self._rows = self._ask() or []
        if any([row[name] for row in self._rows] != self._xy[name] for name in ("x", "y")):
            sys.exit("the service answers with other rows than it was asked for; nothing was timed")

    def _ask(self):
        # A connection each, as programs have that call once an image.
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)) as to:
            to.request("POST", "/classify", self._body, {"Content-Type": "application/json"})
            answer = to.getresponse()
            content = answer.read()
            return json.loads(content)["rows"] if answer.status == 200 else None

    def run(self):
        while time.monotonic() < self.until:
            start = time.perf_counter()
            try:
                found = self._ask()
            except (OSError, http.client.HTTPException):
                found = None
            self.seconds.append(time.perf_counter() - start)
            self.wrong += found != self._rows


def once(image):
    """Score the image by a new process; returns seconds and rows."""
    start = time.perf_counter()
    done = subprocess.run(
        [*COMMAND, "classify", str(image), "--json", "-q"], capture_output=True, check=True
    )
    return time.perf_counter() - start, json.loads(done.stdout)["rows"]


def figures(seconds):
    """Return how many there were, and the median and 99th percentile in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {"n": len(seconds), "p50_ms": 1e3 * cuts[49], "p99_ms": 1e3 * cuts[98]}


def told(clients, often):
    """Wait for clients, and say now and then how far they are."""
    while any(client.is_alive() for client in clients):
        time.sleep(often)
        n, wrong = sum(len(c.seconds) for c in clients), sum(c.wrong for c in clients)
        print(f"  {n:,} answers, {wrong} wrong or lost", file=sys.stderr, flush=True)


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--processes", type=int, default=30, help="new processes to compare with (30)")
    parser.add_argument("--image", type=Path, default=FIELD)
    add_json(parser)
    options = parser.parse_args()
    children_import_this_checkout()
    with TemporaryDirectory() as folder:
        image = Path(folder).resolve() / "image.fits"
        image.write_bytes(options.image.read_bytes())
        rows = once(image)[1]
        alone = figures([once(image)[0] for _ in range(options.processes)])
        with service(image.parent) as port:
            clients = [Client(port, image, rows[k :: options.clients]) for k in range(options.clients)]
            until = time.monotonic() + options.seconds
            for client in clients:
                client.until = until
                client.start()
            told(clients, min(OFTEN, options.seconds))
    wrong = sum(client.wrong for client in clients)
    served = figures([taken for client in clients for taken in client.seconds])
    print(f"{processor()}; {options.clients} clients for {options.seconds:g} s, {len(rows)} detections")
    for name, found in (("rbinfer serve", served), ("a new process, one at a time", alone)):
        p50, p99 = found["p50_ms"], found["p99_ms"]
        print(f"{name:30s}{found['n']:7,d} answers   p50 {p50:8.1f} ms   p99 {p99:8.1f} ms")
    print(f"wrong or lost answers: {wrong}; {served['n'] / options.seconds:.1f} answers/s")
    asked = {"processor": processor(), "clients": options.clients, "seconds": options.seconds}
    found = {"detections": len(rows), "served": served, "alone": alone, "wrong": wrong}
    write_json(options.json, asked | found)
    if wrong:
        sys.exit(1)


if __name__ == "__main__":
    main()
