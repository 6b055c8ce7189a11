"""Keras files that are no network of ours, and where an export goes."""

import keras
import numpy as np
import pytest
from keras import layers

from rbinfer.model.session import verify
from rbtrain import create_realbogus_model, save_realbogus_model
from rbtrain.cli import main
from rbtrain.export.convert import _check_probabilities
from rbtrain.export.proof import ExportError
from rbtrain.export.release import export_keras


def network(*ends, shape=(31, 31, 2)):
    cutouts = keras.Input(shape)
    pooled = layers.GlobalAveragePooling2D()(cutouts) if len(shape) == 3 else cutouts
    return keras.Model(cutouts, [layers.Dense(n, activation)(pooled) for n, activation in ends])


@pytest.mark.parametrize(
    ("ends", "shape", "says"),
    [
        ([(2, "softmax")], (31, 31, 2), r"outputs of the shape \(None, 2\); a network has one: "),
        ([(3, "softmax")], (31, 31, 2), r"outputs of the shape \(None, 3\)"),
        ([(1, "sigmoid")] * 2, (31, 31, 2), r"shape \(None, 1\) and \(None, 1\)"),
        ([(1, "sigmoid")], (31, 31, 3), r"takes \(None, 31, 31, 3\); a network takes cutouts"),
        ([(1, "sigmoid")], (9,), r"takes \(None, 9\); a network takes cutouts"),
    ],
)
def test_a_network_of_another_form_is_refused_at_once(tmp_path, ends, shape, says):
    network(*ends, shape=shape).save(tmp_path / "m.keras")
    with pytest.raises(ExportError, match=rf"m\.keras .*{says}"):
        export_keras(tmp_path / "m.keras", tmp_path / "m.onnx")


def test_what_does_not_end_in_a_sigmoid_is_refused(tmp_path):
    model = network((1, None))
    model.layers[-1].set_weights([np.full((2, 1), 3.0), np.array([-1.0])])
    model.save(tmp_path / "m.keras")
    with pytest.raises(ExportError, match="are no probabilities; end it with a sigmoid"):
        export_keras(tmp_path / "m.keras", tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize(
    ("row", "end"),
    [([0.5, 0.25, 0.25], None), ([0.5, 0.5, 0.5], "softmax"), ([np.nan, 0.5, 0.5], "sigmoid")],
)
def test_probabilities_of_classes(row, end):
    classes = np.array([row] * 4, np.float32)
    outputs = {"score": classes[:, :1], "classes": classes}
    if end is None:
        _check_probabilities(outputs)
    else:
        with pytest.raises(ExportError, match=f"end it with a {end}"):
            _check_probabilities(outputs)


@pytest.mark.parametrize("name", ["junk.keras", "junk.h5"])
def test_a_file_that_is_none_of_keras_is_named(tmp_path, name):
    (tmp_path / name).write_text("junk")
    with pytest.raises(ExportError, match=rf"{name} cannot be read as a file of Keras"):
        export_keras(tmp_path / name, tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("m.keras", "-o", "m.keras"), "must end in .onnx, not 'm.keras'"),
        (("m.keras", "-o", "m.keras", "--overwrite"), "must end in .onnx, not 'm.keras'"),
        (("c.toml", "-o", "c.toml"), "must end in .onnx, not 'c.toml'"),
        (("m.keras", "-o", "old.onnx"), "old.onnx exists and is kept; use --overwrite"),
        (("c.toml", "-o", "old.onnx"), "old.onnx exists"),
        (("old.keras",), "old.onnx exists"),
        (("c.toml", "--network", "old.onnx", "-o", "old.onnx"), "old.onnx exists"),
        (("c.toml", "--network", "old.onnx", "-o", "old.onnx", "--overwrite"), "that --network names"),
    ],
)
def test_nothing_is_lost_by_an_export(config, tmp_path, monkeypatch, capsys, args, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.toml").write_text(config.to_toml())
    for name in ("m.keras", "old.keras", "old.onnx"):
        (tmp_path / name).write_text("kept")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(["export", *args]) == 1
    assert says in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_model_is_replaced_if_that_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_realbogus_model(create_realbogus_model(filters=(4,), dense_units=4), "m.keras")
    (tmp_path / "m.onnx").write_text("old")
    assert main(["export", "m.keras", "--overwrite", "-q"]) == 0
    assert verify(tmp_path / "m.onnx").ok
