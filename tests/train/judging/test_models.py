"""The shipped models are what their folders say, and CI runs what the README says."""

import json
from pathlib import Path

import pytest

from rbinfer.model.registry import list_models
from rbinfer.model.session import Session, verify
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


def test_ci_runs_the_readmes_test_command():
    readme = (ROOT / "README.md").read_text()
    commands = [line for line in readme.splitlines() if "-m pytest" in line]
    assert len(commands) == 1
    assert commands[0] in (ROOT / ".ci" / "run").read_text().splitlines()
