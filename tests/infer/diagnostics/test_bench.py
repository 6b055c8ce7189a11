import json

import numpy as np
import pytest

from rbinfer._util import machine
from rbinfer._util.machine import usable_cpus
from rbinfer.cli import main
from rbinfer.diagnostics import bench
from rbinfer.errors import RbinferError
from rbinfer.io.exposure import as_exposure
from rbinfer.measure.estimate import measure_width
from rbinfer.model.registry import resolve
from rbinfer.model.session import Session
from rbinfer.scoring.classifier import Classifier


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Run the command once; returns what it wrote and what it printed."""
    file = tmp_path_factory.mktemp("bench") / "bench.json"
    with pytest.MonkeyPatch.context() as patch:
        printed = []
        patch.setattr("sys.stdout.write", printed.append)
        assert main(["bench", "--quick", "--device", "cpu", "--json", str(file), "-q"]) == 0
    return json.loads(file.read_text()), "".join(printed)


def test_report_names_the_machine_and_the_model(measured):
    found, text = measured
    assert found["cpu"] == machine.processor()
    assert found["cpus"] == usable_cpus()
    assert found["quick"] is True
    assert found["model"]["name"] == "default"
    assert found["batch"] == Session(resolve("default"), "cpu").batch == 96
    assert found["device"] == "cpu"
    assert text.startswith(found["cpu"])
    for word in ("objects/s", "p99", "cold start", "peak memory", "MB"):
        assert word in text


def test_report_has_every_number_of_threads_and_batch(measured):
    found, text = measured
    cells = {(row["threads"], row["batch"]) for row in found["throughput"]}
    batches = (found["batch"] // 4, found["batch"], 4 * found["batch"])
    assert cells == {(t, b) for t in bench.thread_counts() for b in batches}
    assert all(row["objects_per_s"] > 0 and row["runs"] >= 3 for row in found["throughput"])
    assert f"{round(found['throughput'][0]['objects_per_s']):,}" in text


def test_percentiles_and_medians_are_in_order(measured):
    found, _ = measured
    assert [row["positions"] for row in found["latency"]] == [1, bench.FRAME[1], bench.FRAME[1]]
    assert all(0 < row["p50_s"] <= row["p99_s"] for row in found["latency"])
    assert 0 < found["cold_start"]["best_s"] <= found["cold_start"]["median_s"]


def test_memory_adds_up(measured):
    memory = measured[0]["memory"]
    assert memory["image"] == 4 * memory["side"] ** 2
    assert memory["input"] == 16 * memory["positions"]
    # Score, status and the probabilities of seven classes.
    assert memory["output"] == 4 * (2 + 7) * memory["positions"]
    assert memory["beyond"] == memory["peak"] - memory["image"] - memory["output"]
    assert memory["beyond_baseline"] == memory["beyond"] - memory["baseline"]
    assert memory["beyond_own"] == memory["beyond"] - memory["files"]
    assert 0 <= memory["files"] < memory["peak"]
    assert memory["peak"] >= memory["before"]


def test_thread_counts(monkeypatch):
    for cpus, expected in ((1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])):
        monkeypatch.setattr(bench, "usable_cpus", lambda n=cpus: n)
        assert bench.thread_counts() == expected


def test_scene_has_stars_where_it_says():
    scene = bench.make_scene(512, 400)
    assert scene.image.dtype == np.float32
    assert scene.image.shape == (512, 512)
    found = measure_width(as_exposure(scene.image))
    assert found.source == "measured"
    assert found.fwhm == pytest.approx(bench.FWHM, rel=0.1)
    again = bench.make_scene(512, 400)
    np.testing.assert_array_equal(scene.image, again.image)
    scored = Classifier().score(*scene, fwhm=bench.FWHM)
    assert np.isfinite(scored.score).all()


def test_memory_of_this_process_is_told():
    assert machine.peak_bytes() >= machine.resident_bytes() * 0.99 > 1e6
    assert 0 <= machine.file_bytes() < machine.resident_bytes()


def test_machine_without_proc(monkeypatch):
    def nothing(path, *args, **kwargs):
        raise FileNotFoundError(path)

    monkeypatch.setattr("pathlib.Path.read_text", nothing)
    assert machine.processor()
    assert machine.peak_bytes() > 1e6


def test_directory_of_the_report_is_checked_before_measuring(tmp_path, capsys):
    assert main(["bench", "--json", str(tmp_path / "none" / "bench.json")]) == 1
    assert "no directory" in capsys.readouterr().err
    assert main(["bench", "--json", str(tmp_path)]) == 1
    assert "is a directory" in capsys.readouterr().err


def test_failing_process_says_why(tmp_path):
    _, catalog = bench.write_files(bench.make_scene(64, 5), tmp_path)
    with pytest.raises(RbinferError, match=r"nowhere\.fits does not exist"):
        bench.measure_cold_start(tmp_path / "nowhere.fits", catalog, runs=1)
