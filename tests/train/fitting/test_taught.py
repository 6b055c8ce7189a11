"""What a network teaches the one that goes on from it."""

import dataclasses
import re
from dataclasses import replace

import numpy as np
import pytest

from rbinfer.model.registry import resolve
from rbinfer.model.session import Session
from rbtrain.config import SOURCES, FitConfig
from rbtrain.export.release import export_run
from rbtrain.fitting.batches import augment, targets_of
from rbtrain.fitting.fit import fit
from rbtrain.fitting.lineage import lineage
from rbtrain.fitting.model import inputs_of
from rbtrain.fitting.taught import free_logits, said_by

_FITTED = FitConfig(epochs=3, widths=(1.3, 3.0), bogus_weights=(4.0, 1.0))


@pytest.fixture(scope="module")
def teacher(star_config, star_data, tmp_path_factory):
    where = tmp_path_factory.mktemp("teacher")
    config = dataclasses.replace(star_config, fit=_FITTED)
    fit(config, star_data, where / "fit", verbose=0)
    export_run(config, star_data, where / "fit" / "best.keras", where / "model.onnx")
    return where / "model.onnx"


@pytest.fixture(scope="module")
def targets(star_config, star_data):
    return targets_of(star_config, star_data.rows["label"])


def test_what_is_said_does_not_depend_on_how_it_is_turned(star_data, teacher, targets):
    said = said_by(teacher, star_data, targets)
    turned = said_by(teacher, _Turned(star_data, 5), targets)
    np.testing.assert_allclose(said.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(turned, said, atol=1e-4)
    once = Session(teacher, "cpu").run(*star_data.inputs(slice(0, 400))).classes
    assert np.abs(once - said[:400]).max() > 0.02


def test_it_is_calibrated_on_the_labels_as_they_are(star_data, teacher, targets):
    said = said_by(teacher, star_data, targets)
    real = np.isin(np.arange(said.shape[1]), SOURCES)
    assert said[:, real].sum(axis=1).mean() == pytest.approx(
        targets[:, real].sum(axis=1).mean(), abs=0.02
    )
    loss = -np.log(np.maximum((said * targets).sum(axis=1), 1e-7)).mean()
    of_file = Session(teacher, "cpu").run(*star_data.inputs(slice(None))).classes
    assert loss < -np.log(np.maximum((of_file * targets).sum(axis=1), 1e-7)).mean()


def test_weights_of_bogus_are_undone():
    classes = np.array([[0.4, 0.1, 0.5, 0, 0, 0, 0], [0.4, 0.1, 0.5, 0, 0, 0, 0]], np.float32)
    logits = free_logits(classes, np.array([2, 1], np.float32))
    odds = np.exp(logits[:, 2]) / np.exp(logits[:, :2]).sum(axis=1)
    np.testing.assert_allclose(odds, [0.5, 1.0], rtol=1e-5)
    assert np.isfinite(logits).all()


def test_a_fit_is_taught_and_goes_on_being_taught(star_config, star_data, teacher, targets, tmp_path):
    def fitted(name, epochs, share, parent=teacher, resume=False):
        settings = dataclasses.replace(_FITTED, epochs=epochs, taught=share, learning_rate=1e-4)
        config = dataclasses.replace(star_config, fit=settings)
        return fit(config, star_data, tmp_path / name, parent=parent, resume=resume, verbose=0)

    whole, labels = fitted("whole", 2, 0.9), fitted("labels", 2, 0.0)
    said = np.load(tmp_path / "whole" / "taught.npy")
    np.testing.assert_array_equal(said, said_by(teacher, star_data, targets))
    differs = [
        float(np.abs(a - b).max())
        for a, b in zip(whole.get_weights(), labels.get_weights(), strict=True)
    ]
    assert max(differs) > 1e-4
    assert not (tmp_path / "labels" / "taught.npy").exists()
    # It stays with the run: to go on needs no teacher.
    fitted("whole", 3, 0.9, parent=None, resume=True)
    with pytest.raises(ValueError, match="no network that could teach; name one with"):
        fitted("alone", 1, 0.5, parent=None)


def test_a_network_that_would_not_teach_is_refused(star_config, star_data, teacher, tmp_path):
    def fitted(epochs, share, teacher=None, resume=False):
        settings = dataclasses.replace(_FITTED, epochs=epochs, taught=share)
        config = dataclasses.replace(star_config, fit=settings)
        fit(config, star_data, tmp_path / "fit", teacher=teacher, resume=resume, verbose=0)

    with pytest.raises(ValueError, match=r"is to teach, but fit\.taught is 0\.0: set taught to"):
        fitted(1, 0.0, teacher)
    assert list(tmp_path.iterdir()) == []
    fitted(1, 0.5, teacher)
    assert (tmp_path / "fit" / "teacher.txt").read_text() == f"{lineage(teacher)}\n"
    fitted(2, 0.5, teacher, resume=True)
    other = rf"is taught by {re.escape(lineage(teacher))}, not by .*; leave --teacher out"
    with pytest.raises(ValueError, match=other):
        fitted(3, 0.5, resolve("default"), resume=True)
    (tmp_path / "fit" / "teacher.txt").unlink()
    with pytest.raises(ValueError, match="is taught by a network not noted, not by"):
        fitted(3, 0.5, teacher, resume=True)
    fitted(3, 0.5, resume=True)


@pytest.mark.parametrize(
    ("taught", "teaches", "ways"),
    [
        (0.0, False, "or set parent_share = 0.0 under"),
        (0.2, False, "or set parent_share = 0.0 and taught = 0.0 under"),
        (0.2, True, "Begin with one by --from MODEL"),
    ],
)
def test_without_a_network_to_move_back_to_no_fit_begins(
    star_config, star_data, teacher, tmp_path, taught, teaches, ways
):
    settings = dataclasses.replace(_FITTED, taught=taught, parent_share=0.2)
    config = dataclasses.replace(star_config, fit=settings)
    with pytest.raises(ValueError, match=rf"fit\.parent_share is 0\.2: .*{ways}"):
        fit(config, star_data, tmp_path / "fit", teacher=teacher if teaches else None, verbose=0)
    assert list(tmp_path.iterdir()) == []


def test_a_resumed_fit_takes_no_other_network_to_begin_with(star_config, star_data, teacher, tmp_path):
    def fitted(name, epochs, parent, resume=False):
        settings = dataclasses.replace(_FITTED, epochs=epochs)
        config = dataclasses.replace(star_config, fit=settings)
        fit(config, star_data, tmp_path / name, parent=parent, resume=resume, verbose=0)

    fitted("from", 1, teacher)
    fitted("from", 2, teacher, resume=True)
    with pytest.raises(
        ValueError, match=r"began with .*, fitted further, not with .*; leave --from out"
    ):
        fitted("from", 3, resolve("default"), resume=True)
    fitted("alone", 1, None)
    with pytest.raises(ValueError, match="began with no network of a model, not with"):
        fitted("alone", 2, teacher, resume=True)


def test_a_network_that_begins_anew_can_be_taught(star_config, star_data, teacher, targets, tmp_path):
    def fitted(name, share):
        settings = dataclasses.replace(_FITTED, epochs=2, taught=share)
        config = dataclasses.replace(star_config, fit=settings)
        teaches = teacher if share > 0 else None
        model = fit(config, star_data, tmp_path / name, teacher=teaches, verbose=0)
        found = model.predict(inputs_of(model, *star_data.inputs(slice(None))), verbose=0)
        return np.abs(found - said).mean()

    said = said_by(teacher, star_data, targets)
    assert fitted("taught", 1.0) < fitted("labels", 0.0)


def test_a_model_without_classes_teaches_nothing(star_data, targets):
    with pytest.raises(ValueError, match="has one score and no classes"):
        said_by(resolve("reference"), star_data, targets)


@dataclasses.dataclass
class _Turned:
    """A dataset of which everything is turned."""

    data: object
    turn: int

    @property
    def rows(self):
        return self.data.rows

    def __len__(self):
        return len(self.data)

    def inputs(self, rows):
        pixels, stamps, around = self.data.inputs(rows)
        core, view = around[:, :25].reshape(-1, 5, 5, 1), around[:, 27:].reshape(-1, 13, 13, 1)
        parts = [augment(part, self.turn).reshape(len(around), -1) for part in (core, view)]
        around = np.concatenate([parts[0], around[:, 25:27], parts[1]], axis=1)
        star = replace(stamps, psf=np.ascontiguousarray(augment(stamps.psf, self.turn)))
        return np.ascontiguousarray(augment(pixels, self.turn)), star, around
