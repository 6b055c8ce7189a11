"""``rbtrain`` as a user types it, from simulation to a card."""

import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from rbinfer.model.session import verify
from rbtrain.cli import main
from rbtrain.data.cutting import frame_rng
from rbtrain.simulate import draw_frame


def rbtrain(*args, cwd):
    command = [sys.executable, "-c", "import sys; from rbtrain.cli import main; sys.exit(main())"]
    return subprocess.run(
        [*command, *map(str, args)], cwd=cwd, capture_output=True, text=True, timeout=600, check=False
    )


@pytest.fixture(scope="module")
def labelled(config, tmp_path_factory):
    """Two labelled images, as a user would have them."""
    folder = tmp_path_factory.mktemp("labelled")
    for k in range(2):
        frame = draw_frame(config.simulate, frame_rng(77, k))
        truth = frame.truth[np.isin(frame.truth["type"], ["star", "cosmic_ray", "hot_pixel"])]
        table = Table({"x": truth["x"], "y": truth["y"], "label": (truth["type"] == "star").astype(int)})
        table["label"][:2] = -1
        table.meta["fwhm_px"] = frame.fwhm
        table.write(folder / f"field_{k}.ecsv")
        fits.writeto(folder / f"field_{k}.fits", np.nan_to_num(frame.image))
    return folder


def test_from_simulation_to_card(config, labelled, tmp_path):
    (tmp_path / "c.toml").write_text(config.to_toml())
    for verb in ("simulate", "fit", "export"):
        done = rbtrain(verb, "c.toml", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    model = tmp_path / "runs" / "tiny" / "model.onnx"
    assert verify(model).ok
    wanted = ("--images", labelled, "-o", "out", "--plots", "--baselines")
    done = rbtrain("evaluate", "c.toml", *wanted, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["simulation"]["overall"]["n_real"] > 100
    assert set(metrics["simulation"]["by_snr"]) == {"3-5", "5-10", "10-30", "30-100", ">100"}
    group = metrics["images"]["field"]
    tables = [Table.read(path) for path in sorted(labelled.glob("*.ecsv"))]
    assert group["n_real"] + group["n_bogus"] + group["unscored"] == sum(
        int((t["label"] >= 0).sum()) for t in tables
    )
    assert f"{metrics['simulation']['overall']['auc']:.4f}" in done.stdout
    for name in ("mistakes.png", "mistakes_real.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")
    assert "](mistakes.png)" in (tmp_path / "out" / "CARD.md").read_text()
    assert (tmp_path / "out" / "reliability.png").read_bytes().startswith(b"\x89PNG")
    # What was added stands beside what was there, in the card too.
    versus = metrics["baselines"]
    assert versus["images"]["field"]["network"]["auc"] == pytest.approx(group["auc"])
    assert versus["images"]["field"]["width_and_peak"]["auc"] is None  # no such columns
    counts = metrics["simulation"]["by_class"]
    assert {k: f["n"] for k, f in versus["simulation"]["by_class"].items()} == {
        k: f["n"] for k, f in counts.items()
    }
    shipped = metrics["simulation"]["readings"]["shipped"]
    assert shipped["overall"]["auc"] == metrics["simulation"]["overall"]["auc"]
    assert len(metrics["simulation"]["operating_points"]) == 5
    assert set(metrics["calibration"]) == {"images", "images_detected", "images_fwhm_given"}
    assert 0 <= group["with_galaxies"]["auc"] <= 1
    card = (tmp_path / "out" / "CARD.md").read_text()
    assert "la_cosmic AUC / kept / let in" in card
    assert f"{versus['images']['field']['sharpness']['auc']:.4f}" in card
    assert f"{group['auc']:.4f}" in card
    assert config.hash in card
    # Again: a finished fit is not overwritten, and --resume has nothing left to do.
    again = rbtrain("fit", "c.toml", cwd=tmp_path)
    assert again.returncode == 1
    assert "--resume" in again.stderr
    assert rbtrain("fit", "c.toml", "--resume", cwd=tmp_path).returncode == 0
    # What was made from other settings is refused, not mixed.
    changed = dataclasses.replace(config, data=dataclasses.replace(config.data, per_class=29))
    (tmp_path / "c.toml").write_text(changed.to_toml())
    for verb in ("simulate", "export", "evaluate"):
        done = rbtrain(verb, "c.toml", cwd=tmp_path)
        assert done.returncode == 1
        assert "other settings" in done.stderr
    done = rbtrain("evaluate", "reference", "--dir", "runs/tiny", cwd=tmp_path)
    assert done.returncode == 1
    assert "preset" in done.stderr


def test_export_of_any_keras_file(tmp_path):
    from rbtrain import create_realbogus_model, save_realbogus_model

    save_realbogus_model(create_realbogus_model(filters=(4,), dense_units=4), str(tmp_path / "m.keras"))
    done = rbtrain("export", "m.keras", "-o", "m.onnx", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert verify(tmp_path / "m.onnx").ok


def test_ctrl_c_leaves_the_best_and_resume_goes_on(config, data, tmp_path):
    long = dataclasses.replace(config, fit=dataclasses.replace(config.fit, epochs=6, patience=99))
    (tmp_path / "c.toml").write_text(long.to_toml())
    root = tmp_path / "runs" / "tiny"
    root.mkdir(parents=True)
    (root / "train").symlink_to(Path(data.pixels.filename).parent)
    state = root / "fit" / "state.json"
    # A shell may have started the tests in the background, and with SIGINT ignored then.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from rbtrain.cli import main; sys.exit(main(['fit', 'c.toml']))"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE) as child:
        deadline = time.monotonic() + 300
        while not state.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=120)
    assert child.returncode == 130
    assert b"stopped early; the best network so far is" in said
    assert b"Traceback" not in said
    stopped_after = json.loads(state.read_text())["epoch"]
    assert 1 <= stopped_after < 6
    assert (root / "fit" / "best.keras").exists()
    assert not list((root / "fit").glob("*.part*"))
    done = rbtrain("fit", "c.toml", "--resume", "-q", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(state.read_text())["epoch"] == 6


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("fit", "missing.toml"), 1, "missing.toml"),
        (("export", "missing.keras"), 1, "missing.keras is not a file"),
        (("evaluate", "no_such_model"), 1, "no_such_model"),
        (("evaluate", "reference"), 1, "nothing to measure on"),
        (("evaluate", "reference", "--images", "."), 1, "no labelled images"),
        (("evaluate", "reference", "--images", ".", "--plots"), 1, "-o DIR"),
        (("evaluate", "reference", "--images", ".", "--bound", "none.json"), 1, "none.json"),
        (("evaluate", "reference", "--images", "nodir"), 1, "there is no folder nodir"),
        (
            ("evaluate", "default", "--dir", ".", "--before", "reference"),
            1,
            "--before names reference, which takes cutouts of the reference preset (",
        ),
        (("evaluate", "c.toml"), 1, "there is no model runs/tiny/model.onnx yet; make it with 'rbtrain"),
        (("sheet", "missing.toml", "-o", "a.png"), 1, "missing.toml"),
        (("sheet", "c.toml", "-o", "nodir/a.png"), 1, "there is no folder nodir for a.png"),
        (("simulate", "c.toml", "--workers", "0"), 1, "--workers must be 1 or more, not 0"),
        (("harvest", "night", "-o", "l.ecsv", "--seed", "-1"), 1, "seed must be 0 or more, not -1"),
        (("adapt", "--labels", "l.ecsv", "--seed", "-1"), 1, "seed must be 0 or more, not -1"),
        (("harvest", "night", "-o", "l.fits"), 1, "-o must end in .ecsv, not 'l.fits'"),
        (("dance",), 2, "VERB cannot be 'dance'; it is one of simulate"),
        ((), 2, "VERB"),
    ],
)
def test_errors_are_one_sentence(config, tmp_path, args, code, says):
    (tmp_path / "c.toml").write_text(config.to_toml())
    done = rbtrain(*args, cwd=tmp_path)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "argv",
    [[], ["simulate"], ["fit"], ["export"], ["evaluate"], ["sheet"], ["harvest"], ["adapt"]],
)
def test_help_without_what_only_training_needs(argv):
    """Every help works in the base install, and holds an example."""
    code = (
        "import sys\n"
        "for name in ('tensorflow', 'keras', 'scipy', 'tf2onnx', 'onnx', 'tomli_w', 'matplotlib'):\n"
        "    sys.modules[name] = None\n"
        "from rbtrain.cli import main\n"
        f"main({[*argv, '--help']})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"example:\n  rbtrain {argv[0] if argv else 'simulate'} " in done.stdout


def test_a_smaller_extra_is_named_where_it_is_enough(tmp_path):
    code = (
        "import sys; sys.modules['onnx'] = None\n"
        "from rbtrain.cli import main; sys.exit(main(['adapt', '--labels', 'labels.ecsv']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("rbtrain: error: onnx is not installed; ")
    assert done.stderr.endswith("pip install 'rbinfer[adapt]'\n")


def test_what_is_not_installed_is_told(tmp_path):
    code = (
        "import sys; sys.modules['tomli_w'] = None\n"
        "from rbtrain.cli import main; sys.exit(main(['fit', 'my.toml']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("rbtrain: error: tomli_w is not installed; ")
    assert "pip install 'rbinfer[train]'" in done.stderr


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["fti", "x"], "VERB cannot be 'fti'; did you mean fit? (rbtrain -h)"),
        (
            ["fit", "x", "--resum3"],
            "there is no option --resum3; did you mean --resume? (rbtrain fit -h)",
        ),
        (["fit"], "CONFIG is missing (rbtrain fit -h)"),
    ],
)
def test_mistakes_are_answered_in_a_sentence(argv, sentence, capsys):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert (stop.value.code, capsys.readouterr().err) == (2, f"rbtrain: error: {sentence}\n")
