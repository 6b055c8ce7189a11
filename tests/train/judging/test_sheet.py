"""The contact sheet: what is on it, and that it can be seen."""

import matplotlib.image
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from rbtrain.cli import main
from rbtrain.config import CLASSES
from rbtrain.judging.sheet import SIZE, Tile, real_tiles, simulated_tiles, stretch


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Two groups of images with one star and one hit each, and a cube."""
    folder = tmp_path_factory.mktemp("labelled")
    rng = np.random.default_rng(0)
    y, x = np.indices((80, 80))
    for name in ("first_1", "first_2", "second_1"):
        image = 100 + rng.normal(0, 2, (80, 80))
        image += 300 * np.exp(-4 * np.log(2) * ((x - 5) ** 2 + (y - 40) ** 2) / 9)
        image[60, 60] += 500
        fits.writeto(folder / f"{name}.fits", image.astype(np.float32))
        table = Table({"x": [5.0, 60.0, 20.0], "y": [40.0, 60.0, 20.0], "label": [1, 0, -1]})
        table.meta["fwhm_px"] = 3.0
        table.write(folder / f"{name}.ecsv")
    fits.writeto(folder / "cube.fits", np.zeros((2, 31, 31), np.float32))
    Table({"x": [15.0, 15.0], "y": [15.0, 15.0], "label": [1, 0]}).write(folder / "cube.ecsv")
    return folder


def test_simulated_tiles_are_native_pixels_about_the_peak(config):
    tiles = simulated_tiles(config, 4)
    assert list(tiles) == list(CLASSES)
    assert len(tiles["star"]) == len(tiles["cosmic_ray"]) == 4
    middle = SIZE // 2
    for tile in tiles["cosmic_ray"]:
        assert tile.pixels.shape == (SIZE, SIZE)
        core = tile.pixels[middle - 1 : middle + 2, middle - 1 : middle + 2]
        assert tile.pixels[middle, middle] == np.nanmax(core)
    # The same seed, the same sheet; another, another.
    again, other = simulated_tiles(config, 4), simulated_tiles(config, 4, seed=1)
    np.testing.assert_array_equal(again["star"][0].pixels, tiles["star"][0].pixels)
    assert not np.array_equal(other["star"][0].pixels, tiles["star"][0].pixels, equal_nan=True)


def test_real_tiles_come_from_every_group(labelled):
    tiles = real_tiles(labelled, 2)
    assert {t.source.split("_")[0] for t in tiles["real"]} == {"first", "second"}
    assert [len(found) for found in tiles.values()] == [2, 2]
    star, hit = tiles["real"][0], tiles["bogus"][0]
    # Off the image there is nothing; 3 x 3 pixels of the star have 300 * 6.4 ADU, of the hit 500.
    assert np.isnan(star.pixels[:, : SIZE // 2 - 5]).all()
    assert star.snr == pytest.approx(1915 / (3 * 2), rel=0.1)
    assert hit.snr == pytest.approx(500 / (3 * 2), rel=0.15)


def test_stretch_shows_the_object_between_black_and_white():
    pixels = np.full((SIZE, SIZE), 100, np.float32)
    pixels[SIZE // 2, SIZE // 2], pixels[0, 0] = 160, 5000
    shown = stretch(Tile(pixels, 2.0, 10.0, 3.0))
    assert shown[SIZE // 2, SIZE // 2] == shown[0, 0] == 1
    assert 0 < shown[5, 5] < 0.4


def test_the_command_draws_a_sheet(config, labelled, tmp_path, capsys):
    (tmp_path / "c.toml").write_text(config.to_toml())
    target = tmp_path / "sheet.png"
    args = ["sheet", str(tmp_path / "c.toml"), "-o", str(target), "--per-class", "3", "-q"]
    assert main([*args, "--images", str(labelled)]) == 0
    picture = matplotlib.image.imread(target)
    assert picture.shape[0] > 9 * 100
    assert picture[..., :3].std() > 0.1
    assert "real images: bogus" in capsys.readouterr().out
    assert main([*args[:3], str(tmp_path / "sheet.txt")]) == 1
    assert ".png or .pdf" in capsys.readouterr().err
    assert main([*args[:-2], "0"]) == 1
    assert "--per-class" in capsys.readouterr().err
