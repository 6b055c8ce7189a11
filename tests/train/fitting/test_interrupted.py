"""Fits and files of networks that are interrupted: told, passed on, and nothing left behind."""

import json
import signal
import tempfile
from pathlib import Path

import pytest

from rbtrain.fitting.batches import Batches
from rbtrain.fitting.fit import fit
from rbtrain.fitting.saved import save_atomically


def test_ctrl_c_before_anything_is_saved_is_not_swallowed(config, data, tmp_path, monkeypatch):
    def interrupt(self, index):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Batches, "__getitem__", interrupt)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # may be ignored in the background
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(config, data, tmp_path, verbose=0)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_fit_ends_before_the_next_batch_if_told_to(config, data, tmp_path, caplog):
    """After the first epoch here: its best network is kept, and is said to be."""
    best = tmp_path / "r" / "best.keras"
    with pytest.raises(KeyboardInterrupt):
        fit(config, data, tmp_path / "r", verbose=0, is_stopped=best.exists)
    assert json.loads((tmp_path / "r" / "state.json").read_text())["epoch"] == 1
    assert f"stopped early; the best network so far is {best}" in caplog.text


def test_a_save_that_is_interrupted_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    class Interrupted:
        def save(self, path):
            Path(tempfile.mkdtemp(), "half").write_text("of it")
            path.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_atomically(Interrupted(), tmp_path / "best.keras")
    assert list(tmp_path.iterdir()) == []
    assert tempfile.tempdir == str(tmp_path)
