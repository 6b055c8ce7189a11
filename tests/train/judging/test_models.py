"""The shipped models are what their folders say, and CI runs what the README says."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rbinfer.model.registry import list_models, resolve
from rbinfer.model.session import Session, read_spec, verify
from rbtrain.config import TrainConfig
from rbtrain.judging.card import card_text

ROOT = Path(__file__).parents[3]
SHIPPED = [entry for entry in list_models() if entry.origin == "shipped"]


def test_both_models_are_shipped():
    assert sorted(entry.name for entry in SHIPPED) == ["default", "reference"]


@pytest.mark.parametrize("entry", SHIPPED, ids=lambda e: e.name)
def test_a_model_is_what_its_folder_says(entry):
    folder, spec = entry.path.parent, Session(entry.path).spec
    assert verify(entry.path).ok
    config = TrainConfig.read(folder / "config.toml")
    assert (spec.name, spec.version) == (config.name, config.version)
    assert spec.config_hash == config.hash
    assert spec.preprocess == config.preprocess
    metrics = json.loads((folder / "metrics.json").read_text())
    assert (metrics["model"], metrics["version"]) == (spec.name, spec.version)
    assert metrics["simulation"]["threshold"] == spec.threshold
    assert {"by_class", "by_snr", "by_fwhm"} <= set(metrics["simulation"])
    # The card is what the command would write now.
    assert (folder / "CARD.md").read_text() == card_text(spec, metrics)


def test_the_card_of_an_adapted_model_says_what_it_has_seen():
    spec = read_spec(resolve("default"))
    alone, none = "Trained on simulation alone", "It has seen no real image in training"
    validation = "On the validation frames (simulated)"
    assert all(text in card_text(spec, {}) for text in (alone, none, validation))
    labels = {"real": 120, "bogus": 80}
    adapted = {"method": "head", "labels": labels, "rates_on": 4321, "seen": ["0123456789ab"]}
    card = card_text(replace(spec, adaptation=adapted), {})
    assert not any(text in card for text in (alone, none, validation))
    trained = "Trained on simulation and adapted to 120 real and 80 bogus labels of real images (head)"
    assert f"- {trained}, FWHM" in card
    assert "On 4321 simulated detections of `rbtrain adapt`; galaxies" in card
    assert "- Of real images it has seen its labels alone; what these and simulation lack" in card
    # Calibrated anew since, on validation frames.
    card = card_text(replace(spec, adaptation={"seen": adapted["seen"]}), {})
    assert "- Trained on simulation and adapted to labels of real images, FWHM" in card
    assert validation in card
    assert none not in card


def test_ci_runs_the_readmes_test_command():
    readme = (ROOT / "README.md").read_text()
    commands = [line for line in readme.splitlines() if "-m pytest" in line]
    assert len(commands) == 1
    assert commands[0] in (ROOT / ".ci" / "run").read_text().splitlines()
