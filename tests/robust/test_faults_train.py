"""Faults of a training: `rbtrain fit` and `rbtrain export`, killed and stopped, go on as if nothing was.

Real processes on a network of seconds. What is killed within a few milliseconds, between two files, is
killed there on purpose; all else at random.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from .scale import FULL, times

pytest.importorskip("tensorflow")

import keras

from rbtrain.config import DataConfig, FitConfig, NetworkConfig, TrainConfig
from rbtrain.data.building import build_dataset
from rbtrain.data.dataset import Dataset
from rbtrain.simulate import SimulateConfig

SEED = 20_261
_LONGEST = 300  # seconds that a process may take on a loaded machine

# A shell may have started the tests in the background, and with SIGINT ignored then.
_START = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from rbtrain.cli import main
sys.exit(main())
"""

# Kills itself at the rename that is asked for, before or after it.
_KILLED_AT_RENAME = """
import os, signal, sys
at, after, rename, count = int(sys.argv.pop(1)), sys.argv.pop(1) == "after", os.replace, 0
def replace(*paths):
    global count
    count += 1
    if after:
        rename(*paths)
    if count == at:
        os.kill(os.getpid(), signal.SIGKILL)
    if not after:
        rename(*paths)
os.replace = replace
from rbtrain.cli import main
sys.exit(main())
"""

# Sends itself SIGTERM within a callback of the garbage collector, where Python drops exceptions.
_STOPPED_IN_COLLECTION = """
import gc, signal, sys
from pathlib import Path
begun = Path(sys.argv.pop(1))
def collected(phase, info):
    if begun.exists() and collected in gc.callbacks:
        gc.callbacks.remove(collected)
        signal.raise_signal(signal.SIGTERM)
gc.callbacks.append(collected)
from rbtrain.cli import main
sys.exit(main())
"""


def tiny() -> TrainConfig:
    """Dropout and a best epoch that is not the last: both were once not restored."""
    return TrainConfig(
        name="tiny",
        simulate=SimulateConfig(width=256, height=256),
        data=DataConfig(frames=40, test_frames=2, seed=5, per_class=30, sources=60),
        network=NetworkConfig("compact", filters=(8, 16), dropout=0.2),
        fit=FitConfig(epochs=3, batch_size=32, learning_rate=5e-3),
    )


@dataclass
class Training:
    """A training that nothing disturbed, and others of the same beside it."""

    root: Path
    data: Dataset

    def place(self, name: str, like: Path | None = None) -> Path:
        """Make the directory of another training; of the same fit as `like` if given."""
        where = self.root / name
        shutil.rmtree(where, ignore_errors=True)
        (where / "tmp").mkdir(parents=True)
        (where / "train").symlink_to(self.root / "train")
        if like is not None:
            shutil.copytree(like / "fit", where / "fit")
        return where

    def start(self, where: Path, *arguments: str, code: str = _START) -> subprocess.Popen[str]:
        """Start `rbtrain` in a directory, with a directory for temporary files of its own."""
        command = [
            sys.executable,
            "-c",
            code,
            *arguments,
            str(self.root / "c.toml"),
            "--dir",
            str(where),
        ]
        environment = os.environ | {"TMPDIR": str(where / "tmp"), "TF_CPP_MIN_LOG_LEVEL": "3"}
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def run(self, where: Path, *arguments: str) -> float:
        """Run `rbtrain` to its end, which must be a good one; returns the seconds it took."""
        start = time.monotonic()
        with self.start(where, *arguments) as child:
            _, said = child.communicate(timeout=_LONGEST)
        assert child.returncode == 0, said
        return time.monotonic() - start

    def result(self, where: Path) -> tuple[bytes, dict]:
        """Scores of the network on fixed cutouts, and the history."""
        model = keras.models.load_model(where / "fit" / "best.keras")
        scores = model.predict(self.data.pixels[:256].astype(np.float32), verbose=0)
        return scores.tobytes(), json.loads((where / "fit" / "state.json").read_text())


@dataclass
class Undisturbed:
    """What all others are compared with, and how long it took: the fit after its imports."""

    training: Training
    where: Path
    fit_seconds: float
    export_seconds: float


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Undisturbed:
    root = tmp_path_factory.mktemp("faults")
    (root / "c.toml").write_text(tiny().to_toml())
    training = Training(root, build_dataset(tiny(), root / "train", workers=1))
    where = training.place("undisturbed")
    with training.start(where, "fit", "-q") as child:
        wait_for(where / "fit" / "config.toml", child)
        started = time.monotonic()
        _, said = child.communicate(timeout=_LONGEST)
    assert child.returncode == 0, said
    fit_seconds = time.monotonic() - started
    return Undisturbed(training, where, fit_seconds, training.run(where, "export", "-q"))


def written(path: Path) -> int | None:
    """When a file was written last, if it is there."""
    return path.stat().st_mtime_ns if path.exists() else None


def wait_for(path: Path, child: subprocess.Popen[str], before: int | None = None) -> None:
    """Wait until a file is written, or written again since `before`."""
    deadline = time.monotonic() + _LONGEST
    while written(path) == before and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)


class Moments:
    """Draws moments of a run that are uniform over how long it takes, on a machine as busy as it is."""

    def __init__(self, seed: int | list[int], seconds: float, first: float = 0.0) -> None:
        self.rng = np.random.default_rng(seed)
        self.seconds, self.first = seconds, first
        self.drawn: list[float] = []

    def end(self, child: subprocess.Popen[str], number: int) -> tuple[int, str]:
        """Send a signal at such a moment; returns how the process ended, of itself if it was quicker."""
        self.drawn.append(round(float(self.rng.uniform(self.first, 1)) * self.seconds, 2))
        begun = time.monotonic()
        try:
            child.wait(self.drawn[-1])
        except subprocess.TimeoutExpired:
            child.send_signal(number)
        _, said = child.communicate(timeout=_LONGEST)
        if child.returncode == 0:
            self.seconds = min(self.seconds, time.monotonic() - begun)
        return child.returncode, said


def left_over(where: Path, usual: Path) -> set[str]:
    """Temporary files of a directory, less what an undisturbed run of the libraries leaves."""
    parts = {str(path.relative_to(where)) for path in where.rglob("*.part*")}
    here, there = ({path.name for path in (each / "tmp").iterdir()} for each in (where, usual))
    return parts | (here - there)


@pytest.mark.skipif(not FULL, reason="takes minutes; in CI it is killed between two files alone")
@pytest.mark.promise(
    "Faults", "A fit killed at random moments and resumed is the undisturbed one, bit for bit"
)
def test_a_killed_fit(undisturbed, tried, request):
    training, expected = undisturbed.training, undisturbed.training.result(undisturbed.where)
    moments, done = Moments(SEED, undisturbed.fit_seconds), 0
    while done < 50:
        where = training.place("killed")
        config, kills = where / "fit" / "config.toml", 0
        # Up to three times in one fit: the resumed one is killed as well, after it has started.
        for resumed in range(int(moments.rng.integers(1, 4))):
            before = written(config)
            with training.start(where, "fit", "-q", *["--resume"] * (resumed > 0)) as child:
                wait_for(config, child, before)
                code, said = moments.end(child, signal.SIGKILL)
            assert code in (-signal.SIGKILL, 0), said
            kills += code != 0
            if code == 0:
                break
        training.run(where, "fit", "-q", "--resume")
        assert training.result(where) == expected, moments.drawn
        assert not list((where / "fit").glob("*.part*"))
        done += kills
        tried(kills)
    request.node.found = f"moments of seed {SEED}, from {min(moments.drawn)} to {max(moments.drawn)} s"


@pytest.mark.promise(
    "Faults", "A simulation killed at random moments and run again is the undisturbed one, byte for byte"
)
def test_a_killed_simulation(undisturbed, tried, request):
    training = undisturbed.training
    expected = {path.name: path.read_bytes() for path in (training.root / "train").iterdir()}
    where = training.place("simulated")
    (where / "train").unlink()
    parts = where / "train.part" / "parts"
    kept = [0]
    for later in (0.0, 0.1):
        with training.start(where, "simulate", "-q", "--workers", "2") as child:
            deadline = time.monotonic() + _LONGEST
            # One part more than before, and then a moment within the next.
            while len(list(parts.glob("[0-9]*.npz"))) == kept[-1] and child.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            time.sleep(later)
            child.send_signal(signal.SIGKILL)
            _, said = child.communicate(timeout=_LONGEST)
        assert child.returncode == -signal.SIGKILL, said
        kept.append(len(list(parts.glob("[0-9]*.npz"))))
        tried()
    training.run(where, "simulate", "-q")
    assert {path.name: path.read_bytes() for path in (where / "train").iterdir()} == expected
    assert 0 < kept[1] < kept[2]
    request.node.found = f"of 5 parts, {kept[1]} and {kept[2]} were kept"


@pytest.mark.promise(
    "Faults", "A fit killed before or after any of its renames goes on as if it had not been"
)
def test_a_fit_killed_between_two_files(undisturbed, tried, request):
    training, expected = undisturbed.training, undisturbed.training.result(undisturbed.where)
    cases = [(at, side) for at in range(1, 40) for side in ("before", "after")]
    # In CI the one that may mix epochs: the best network is of the next, the state is not.
    cases = cases if FULL else [(5, "after")]
    beside = set()
    for at, side in cases:
        where = training.place("killed")
        with training.start(where, str(at), side, "fit", "-q", code=_KILLED_AT_RENAME) as child:
            _, said = child.communicate(timeout=_LONGEST)
        if child.returncode == 0:
            break  # there are no more renames than that
        assert child.returncode == -signal.SIGKILL, said
        beside |= {path.name for path in (where / "fit").glob("*.part*")}
        training.run(where, "fit", "-q", "--resume")
        assert training.result(where) == expected, (at, side)
        assert not list((where / "fit").glob("*.part*"))
        tried()
    else:
        assert not FULL
    if FULL:
        assert beside == {"best.part.keras", "last.part.npz", "state.part.json", "config.part.toml"}
    request.node.found = "killed beside " + ", ".join(sorted(beside)) if beside else ""


@pytest.mark.promise(
    "Faults", "An export killed at random moments and repeated writes the same file, byte for byte"
)
def test_a_killed_export(undisturbed, tried):
    training = undisturbed.training
    # The first third are imports.
    moments = Moments(SEED + 1, undisturbed.export_seconds, 1 / 3)
    expected = (undisturbed.where / "model.onnx").read_bytes()
    where = training.place("killed", like=undisturbed.where)
    done, wanted = 0, times(1, 50)
    while done < wanted:
        (where / "model.onnx").unlink(missing_ok=True)
        with training.start(where, "export", "-q") as child:
            code, said = moments.end(child, signal.SIGKILL)
        assert code in (-signal.SIGKILL, 0), said
        if (where / "model.onnx").exists():
            assert (where / "model.onnx").read_bytes() == expected
        done += code != 0
        tried(int(code != 0))
    training.run(where, "export", "-q")
    assert (where / "model.onnx").read_bytes() == expected
    assert not list(where.glob("*.part*"))


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
@pytest.mark.parametrize("verb", ["fit", "export"])
@pytest.mark.promise(
    "Faults", "SIGINT and SIGTERM end fit and export with 130 and 143 and leave no temporary files"
)
def test_a_stopped_training(undisturbed, tried, verb, name, code):
    if not FULL and (verb, name) not in (("fit", "SIGTERM"), ("export", "SIGINT")):
        pytest.skip("one signal for each verb in CI")
    training = undisturbed.training
    if verb == "fit":
        moments = Moments([SEED, code], 0.9 * undisturbed.fit_seconds)
    else:
        moments = Moments([SEED, code], 0.9 * undisturbed.export_seconds, 0.4)
    done, wanted = 0, times(1, 12)
    for _ in range(10 * wanted):
        where = training.place("stopped", like=undisturbed.where if verb == "export" else None)
        with training.start(where, verb) as child:
            if verb == "fit":
                wait_for(where / "fit" / "config.toml", child)
            ended, said = moments.end(child, getattr(signal, name))
        assert left_over(where, undisturbed.where) == set(), said
        if ended in (0, -getattr(signal, name)):
            continue  # the work was over before: the interpreter may still have been about to end
        assert ended == code, said
        assert "Traceback" not in said
        assert said.rstrip().endswith("interrupted" if name == "SIGINT" else "terminated")
        if (where / "model.onnx").exists():
            # The signal came after the renaming, before the verb had said so and returned.
            assert (where / "model.onnx").read_bytes() == (undisturbed.where / "model.onnx").read_bytes()
        tried()
        done += 1
        if done == wanted:
            break
    assert done == wanted
    if verb == "fit" and FULL:
        training.run(where, "fit", "-q", "--resume")
        assert training.result(where) == training.result(undisturbed.where)


@pytest.mark.promise("Faults", "A signal within a callback of the garbage collector is not lost")
def test_a_signal_while_garbage_is_collected(undisturbed, tried):
    where = undisturbed.training.place("collected")
    begun = str(where / "fit" / "config.toml")
    child = undisturbed.training.start(where, begun, "fit", "-q", code=_STOPPED_IN_COLLECTION)
    with child:
        _, said = child.communicate(timeout=_LONGEST)
    assert child.returncode == 143, said
    assert "Exception ignored" not in said
    assert not list((where / "fit").glob("*.part*"))
    tried()
