"""Training data on backdrops: what they depend on, what is recorded, what is refused."""

import json

import numpy as np
import pytest
from astropy.io import fits

from rbtrain.cli import main
from rbtrain.config import DataConfig, TrainConfig
from rbtrain.data.building import build_dataset
from rbtrain.simulate import SimulateConfig, identify, open_backdrops

TINY = dict(frames=10, test_frames=2, seed=5, per_class=20, sources=40)


@pytest.fixture(scope="module")
def tiny():
    return TrainConfig(name="t", simulate=SimulateConfig(width=128, height=128), data=DataConfig(**TINY))


def test_the_dataset_depends_on_seeds_and_files_alone(tiny, darks, sky_image, tmp_path):
    made = []
    for workers, given in ((1, darks), (2, darks[::-1])):
        with open_backdrops(identify(given, [sky_image]), (128, 128), 0.6) as backdrops:
            made.append(
                build_dataset(tiny, tmp_path / str(workers), workers=workers, backdrops=backdrops)
            )
    assert made[0].rows.tobytes() == made[1].rows.tobytes()
    assert made[0].pixels.tobytes() == made[1].pixels.tobytes()
    # Frames that draw no backdrop are those that there are without any.
    plain = build_dataset(tiny, tmp_path / "plain", workers=1)
    same = []
    for k in range(tiny.data.frames):
        ours, theirs = made[0].rows["frame"] == k, plain.rows["frame"] == k
        same.append(made[0].pixels[ours].tobytes() == plain.pixels[theirs].tobytes())
    assert 0 < sum(same) < len(same)


def test_the_command_records_and_checks_its_backdrops(tiny, darks, sky_image, tmp_path, capsys):
    (tmp_path / "c.toml").write_text(tiny.to_toml())
    command = [
        "simulate",
        str(tmp_path / "c.toml"),
        "--dir",
        str(tmp_path / "run"),
        "--workers",
        "1",
        "-q",
    ]
    given = ["--darks", *map(str, darks), "--images", str(sky_image)]
    assert main([*command, *given]) == 0
    about = json.loads((tmp_path / "run" / "train" / "dataset.json").read_text())["backdrops"]
    assert about["fraction"] == 0.5
    assert {f["name"] for f in about["files"]} == {
        "dark_0.fits",
        "dark_1.fits",
        "dark_2.fits",
        "sky.fits",
    }
    assert {f["bytes"] for f in about["files"]} == {f.stat().st_size for f in (*darks, sky_image)}
    assert all(len(f["sha256"]) == 64 and str(tmp_path) not in str(f) for f in about["files"])
    before = (tmp_path / "run" / "train" / "rows.npy").stat().st_mtime_ns
    assert main([*command, *given]) == 0
    assert (tmp_path / "run" / "train" / "rows.npy").stat().st_mtime_ns == before
    for other in ([], given[:4], [*given, "--backdrop-fraction", "0.7"]):
        assert main([*command, *other]) == 1
        error = capsys.readouterr().err
        assert "was simulated with dark dark_" in error
        assert "another --dir" in error
    assert main([*command, "--backdrop-fraction", "0.7"]) == 1
    assert "without --darks or --images" in capsys.readouterr().err


def test_bad_files_are_refused_before_anything_is_written(tiny, darks, tmp_path, capsys):
    rng = np.random.default_rng(0)
    (tmp_path / "text.fits").write_text("no image\n")
    fits.writeto(tmp_path / "cube.fits", rng.normal(size=(3, 150, 150)).astype(np.float32))
    fits.writeto(tmp_path / "small.fits", rng.normal(size=(150, 100)).astype(np.float32))
    fits.writeto(tmp_path / "constant.fits", np.full((150, 150), 7, np.int16))
    fits.writeto(tmp_path / "nan.fits", np.full((150, 150), np.nan, np.float32))
    empty = np.zeros((150, 150), np.float32)
    empty[:40] = rng.normal(500, 9, (40, 150))
    fits.writeto(tmp_path / "empty.fits", empty)
    (tmp_path / "copy.fits").write_bytes(darks[0].read_bytes())
    (tmp_path / "c.toml").write_text(tiny.to_toml())
    says = {
        "missing.fits": ["does not exist"],
        "text.fits": ["cannot be read as FITS"],
        "cube.fits": ["cube of 3 planes of 150 x 150 pixels"],
        "small.fits": ["100 x 150 pixels", "frames of 128 x 128", "[simulate]"],
        "constant.fits": ["constant", "7"],
        "nan.fits": ["0 % good pixels"],
        "empty.fits": ["27 % good pixels", "empty"],
        "copy.fits": ["same bytes", "dark_0.fits"],
    }
    for option in ("--darks", "--images"):
        for name, words in says.items():
            if option == "--darks" and name == "empty.fits":
                continue  # a dark may be zero over large parts
            files = [str(tmp_path / name)]
            command = [
                "simulate",
                str(tmp_path / "c.toml"),
                "--dir",
                str(tmp_path / "run"),
                option,
                *files,
            ]
            if option == "--darks":
                command += map(str, darks)
            elif name == "copy.fits":
                command += ["--darks", *map(str, darks)]
            assert main([*command, "-q"]) == 1
            error = capsys.readouterr().err
            assert all(word in error for word in [name, *words]), error
            assert not (tmp_path / "run").exists()
