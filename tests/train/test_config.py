"""The configuration of a training: to TOML and back, and what it says of bad values."""

import dataclasses
import re
from pathlib import Path

import pytest

from rbtrain._settings import identity
from rbtrain.config import CLASSES, TrainConfig

MODELS = Path(__file__).parents[2] / "models"


def test_config_round_trip(config, tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(config.to_toml())
    assert TrainConfig.read(path) == config
    assert TrainConfig.read(path).hash == config.hash
    assert dataclasses.replace(config, version="2").hash != config.hash


def test_a_setting_that_is_new_leaves_old_hashes_as_they_are():
    config = TrainConfig(name="a", version="1")
    # From before the simulator knew of scenes, persistence and field aberrations.
    assert config.hash == "995d3f26a40fce8f"
    assert "scenes" not in identity(config)["simulate"]
    assert "persistence" not in identity(config)["simulate"]["artefacts"]
    for section, name, value in (("scenes", "thick", 0.1), ("psf", "curved", 0.3)):
        changed = TrainConfig.from_dict({"name": "a", "simulate": {section: {name: value}}})
        assert identity(changed)["simulate"][section][name] == value
        assert changed.hash != config.hash
        assert changed.data_hash != config.data_hash


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name = 'a'\n[fit]\nepoch = 3", "fit has unknown keys"),
        ("name = 'a'\n[simulate.psf]\nseeing = 3", "unknown keys"),
        ("name = 'a'\nreal = ['unicorn']", "unicorn"),
        ("name = 'a'\n[preprocess]\nsize = 30", "size must be odd"),
        ("name = ", "Invalid value"),
        ("name = 'a'\n[data]\ndeblending = [2.0]", "deblending must hold shares"),
        ("name = 'a'\n[data]\nknown_noise = -0.1", "known_noise must be between 0 and 1, not -0.1"),
        ("name = 'a'\n[data]\nmeasured = nan", "measured must be finite, not nan"),
        ("name = 'a'\nsources = '0.9'", "sources must be a share between 0 and 1, not '0.9'"),
        ("name = 'a'\n[fit]\nprecision = 'half'", "precision must be 'float32'"),
        ("name = 'a'\n[fit]\nepochs = 2.5", "epochs must be like 20, not 2.5"),
        ("name = 'a'\n[network]\nfilters = []", r"filters must be like \(32, 64, 128\), not \(\)"),
        ("name = 'a'\n[simulate.sky]\nfringes = 'often'", "fringes must be like 0.08, not 'often'"),
        ("name = 'a'\n[simulate.psf]\nbeta = 3.0", r"beta must be like \(2.0, 5.0\), not 3.0"),
        ("name = 'a'\n[simulate.psf]\nbeta = [3.0]", r"beta must be like \(2.0, 5.0\), not \(3.0,\)"),
        ("name = 'a'\n[simulate]\npsf = 3", "simulate.psf must be a table of settings, not 3"),
        ("name = 'a'\n[simulate]\nwidth = 99.5", "width must be like 512, not 99.5"),
        ("name = 'a'\nfit = 3", "fit must be a table of settings, not 3"),
        ("name = 'a'\npreprocess = 'default'", "preprocess must be a table of settings, not 'default'"),
        ("name = 'a'\n[data]\nthreshold = [6.0, 3.0]", r"\[data\] threshold must be a range, the lower"),
        ("name = 'a'\n[data]\nthreshold = [0.0, 3.0]", r"threshold must be a range above 0, not \(0.0,"),
        ("name = 'a'\n[data]\nthreshold = [nan, 3.0]", r"\[data\] threshold must be finite, not \(nan"),
        ("name = 'a'\n[data]\nfwhm_excess = [1.4, 1.0]", r"fwhm_excess .* not \(1.4, 1.0\)"),
        (
            "name = 'a'\n[data]\nfwhm_scatter = -1.0",
            r"\[data\] fwhm_scatter must be 0 or more, not -1.0",
        ),
        (
            "name = 'a'\n[data]\nfwhm_excess_fraction = 3.0",
            "excess_fraction must be between 0 and 1, not 3",
        ),
        ("name = 'a'\n[data]\nseed = -1", r"\[data\] seed must be 0 or more, not -1"),
        ("name = 'a'\n[data]\nper_class = -3", r"\[data\] per_class must be 1 or more, not -3"),
        ("name = 'a'\n[data]\nsources = -3", r"\[data\] sources must be 1 or more, not -3"),
        ("name = 'a'\n[data]\nmin_area = [1.5]", r"min_area must be like \(1, 1, 3, 5\), not \(1.5,\)"),
        ("name = 'a'\n[data]\nmin_area = [0]", r"min_area must hold whole numbers of 1 or more"),
        ("name = 'a'\n[network]\ndropout = 1.5", r"\[network\] dropout must be 0 or more and below 1"),
        (
            "name = 'a'\n[network]\nfilters = [-1]",
            r"filters must hold numbers of 1 or more, not \(-1,\)",
        ),
        (
            "name = 'a'\n[network]\nfilters = [8.5]",
            r"filters must be like \(32, 64, 128\), not \(8.5,\)",
        ),
        ("name = 'a'\n[network]\ndense_units = 0", r"dense_units must be 1 or more features, not 0"),
        ("name = 'a'\n[fit]\nseed = -1", r"\[fit\] seed must be 0 or more, not -1"),
        ("name = 'a'\n[fit]\nbalance = nan", r"\[fit\] balance must be finite, not nan"),
        ("name = 'a'\n[fit]\nlearning_rate = inf", r"\[fit\] learning_rate must be finite, not inf"),
        ("name = 'a'\n[fit]\nepochs = '5'", r"\[fit\] epochs must be like 20, not '5'"),
        ("name = 'a'\n[simulate.sky]\nfringes = nan", r"\[simulate.sky\] fringes must be finite"),
        ("name = 5", "name must be a text without slashes, .* not 5"),
        ("name = '../evil'", "name must be a text without slashes, .* not '../evil'"),
        ("name = '..'", r"name must be a text without slashes, .* not '\.\.'"),
        ("name = 'a'\nversion = 1", 'version must be a text such as "1", not 1'),
        ("name = 'a'\nreal = 'star'", r"real must be a list such as \[\"star\"\], not 'star'"),
        ("name = 'a'\nreal = ['star', 'star']", "real must name some of the 7 classes once each"),
        (
            f"name = 'a'\nreal = {[*CLASSES]}",
            "real must name some of the 7 classes once each, and not all",
        ),
    ],
)
def test_config_errors_name_file_and_key(tmp_path, text, says):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=says) as caught:
        TrainConfig.read(path)
    assert "bad.toml" in str(caught.value)


def ranges_of(settings, *place):
    """Yield where each range of settings is, and its type of field."""
    for item in dataclasses.fields(settings):
        value = getattr(settings, item.name)
        if dataclasses.is_dataclass(value):
            yield from ranges_of(value, *place, item.name)
        elif isinstance(value, tuple) and len(value) == 2:
            yield (*place, item.name), value


RANGES = dict(ranges_of(TrainConfig(name="a").simulate, "simulate"))


@pytest.mark.parametrize("place", RANGES, ids=".".join)
def test_a_range_upside_down_is_refused(place):
    low, high = RANGES[place]
    given = {"name": "a"}
    table = given
    for name in place[:-1]:
        table = table.setdefault(name, {})
    table[place[-1]] = [high + 1.0, low]
    where, key = re.escape(".".join(place[:-1])), place[-1]
    says = rf"\[{where}\] {key} must be a range, the lower end first, not \({high + 1.0}, {low}\)"
    with pytest.raises(ValueError, match=says):
        TrainConfig.from_dict(given)
    table[place[-1]] = [low, low]  # one value is a range, too
    TrainConfig.from_dict(given)


def test_ranges_are_found_in_every_section():
    assert len(RANGES) > 60
    assert {place[1] for place in RANGES} >= {
        "field",
        "psf",
        "sky",
        "detector",
        "artefacts",
        "small_side",
    }


@pytest.mark.parametrize("name", ["default", "reference"])
def test_configurations_of_the_models_are_read(name):
    assert TrainConfig.read(MODELS / name / "config.toml").name == name
