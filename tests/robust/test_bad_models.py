"""Model files that are damaged, of others, or made to do harm: an error when they are loaded."""

import base64
import contextlib
import json
import pickle
import subprocess
import sys
import warnings
import zlib

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper

from rbinfer import Classifier, InputError, ModelError, RbinferError
from rbinfer.cutouts.cutter import Cutter
from rbinfer.io.exposure import as_exposure
from rbinfer.model.session import Session, verify
from rbinfer.model.spec import METADATA_KEY, GoldenPairs, ModelSpec, PreprocessSpec

from .scale import times


@pytest.fixture
def proto(model_path):
    return onnx.load(model_path)


def change(proto, **entries):
    """Change entries of the metadata."""
    for entry in proto.metadata_props:
        if entry.key == METADATA_KEY:
            entry.value = json.dumps(json.loads(entry.value) | entries)


#: An operating point in JSON.
RATES = {"name": "a", "threshold": 0.5, "missed": 0.1, "false": 0.1}


def reading(**entries):
    """Return a reading in JSON, with some entries changed."""
    return {"real": ["star"], "threshold": 0.5, "operating_points": [], "scores": {}} | entries


def delimited(field, data):
    """Encode bytes as a field of a protobuf message; appended to a message, it is one more."""
    length, number = b"", len(data)
    while number > 127:
        length, number = length + bytes([number & 127 | 128]), number >> 7
    return bytes([field << 3 | 2]) + length + bytes([number]) + data


def refused(path, text):
    with pytest.raises(ModelError) as caught:
        Classifier(path, device="cpu")
    assert text in str(caught.value), str(caught.value)


@pytest.mark.promise("Models", "a file cut short or with changed bytes is refused, or scores as it did")
def test_damaged(model_path, tmp_path, tried):
    whole = model_path.read_bytes()
    pairs = Classifier(model_path, device="cpu").spec.golden
    path = tmp_path / "m.onnx"
    rng = np.random.default_rng(0)
    for end in [0, 1, 100, len(whole) - 1, *rng.integers(0, len(whole), times(20, 400))]:
        path.write_bytes(whole[:end])
        refused(path, str(path))
        tried(1)
    for _ in range(times(40, 1500)):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), rng.integers(1, 5)):
            data[at] ^= 1 << int(rng.integers(0, 8))
        path.write_bytes(data)
        tried(1)
        try:
            session = Session(path, "cpu")
        except RbinferError:
            continue
        # A changed weight may hide from eight pairs, but not by much.
        score = session.run(pairs.cutouts, pairs.stamps, pairs.cores).score
        assert np.isfinite(score).all()
        assert np.abs(score - pairs.scores).max() <= 0.02


@pytest.mark.promise("Models", "what is no model of ours is refused with the reason")
def test_others(proto, tmp_path, tried):
    path = tmp_path / "m.onnx"
    path.write_bytes(pickle.dumps(print))
    refused(path, "not a model that ONNX Runtime can load")
    (tmp_path / "text.onnx").write_text("I am a model, too")
    refused(tmp_path / "text.onnx", "not a model that ONNX Runtime can load")
    bare = onnx.ModelProto()
    bare.CopyFrom(proto)
    del bare.metadata_props[:]
    path.write_bytes(bare.SerializeToString())
    refused(path, "without rbinfer's metadata; make it with 'rbtrain export'")
    (tmp_path / "k.keras").write_bytes(b"PK")
    refused(tmp_path / "k.keras", "is a Keras file, and rbinfer runs ONNX")
    refused(tmp_path / "nowhere.onnx", "no model file and no installed model")
    (tmp_path / "loop.onnx").symlink_to(tmp_path / "loop.onnx")
    refused(tmp_path / "loop.onnx", "loop.onnx")
    refused("/dev/zero", "/dev/zero")
    (tmp_path / "folder.onnx").mkdir()
    refused(tmp_path / "folder.onnx", "folder.onnx")
    tried(8)


@pytest.mark.promise("Models", "metadata that do not fit the graph or this release are refused")
@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ({"schema": 99}, "has schema 99, this release reads 1 and 2"),
        ({"schema": None}, "has schema None"),
        ({"preprocess": PreprocessSpec.default(33).to_dict()}, "asks for cutouts (n, 33, 33, 2)"),
        ({"preprocess": {"preset": "default"}}, "lacks"),
        ({"classes": ["star", "bogus"], "readings": [reading()]}, "do not fit its 2 classes"),
        ({"classes": ["bogus", "real"], "readings": [reading(real=["real"])]}, "golden"),
        ({"readings": [reading(real=["comet"])]}, "must be among"),
        ({"readings": [reading(real=[])]}, "must be among"),
        ({"readings": []}, "needs a reading of what is real"),
        ({"readings": [reading(), reading()]}, "two readings with star real"),
        ({"readings": [reading(threshold=7)]}, "must lie in [0, 1], not 7"),
        ({"readings": [reading(threshold="high")]}, "damaged (could not convert string to float"),
        ({"readings": [{"real": ["star"]}]}, "damaged ("),
        ({"schema": 1}, "damaged ("),
        ({"classes": None}, "damaged (a value is of the wrong kind)"),
        ({"readings": [reading(operating_points=[{"a": 1}])]}, "damaged ("),
        (
            {"readings": [reading(operating_points=[RATES | {"missed": "1"}])]},
            "missed of an operating point must lie in [0, 1], not '1'",
        ),
        ({"classes": ["star"] * 7}, "must have names of their own"),
        ({"classes": ["star", *"abcde", ""]}, "must have names of their own"),
        ({"snr_range": [9, 2]}, "snr_range must not end below its beginning"),
        ({"golden": {"shape": [1, 2], "cutouts": "", "scores": []}}, "impossible shape"),
        ({"golden": {"shape": [2**63, 31, 31, 2], "cutouts": "", "scores": []}}, "impossible shape"),
        ({"golden": {"shape": [8, 31, 31, 2], "cutouts": "!", "scores": []}}, "damaged"),
        (
            {"golden": GoldenPairs(np.zeros((1, 31, 31, 2)), [1e300]).to_dict()},
            "golden scores must lie in [0, 1]",
        ),
        (
            {
                "golden": {
                    "shape": [1, 5, 5, 2],
                    "cutouts": base64.b64encode(zlib.compress(bytes(200))).decode(),
                    "scores": [0.5],
                }
            },
            "golden cutouts of shape (5, 5, 2)",
        ),
    ],
)
def test_metadata(proto, tmp_path, entries, text, tried):
    if entries.get("classes") == ["bogus", "real"]:
        # One score is a form of its own: the graph has it, so this file is one of ours.
        change(proto, **entries)
        onnx.save(proto, tmp_path / "m.onnx")
        assert Classifier(tmp_path / "m.onnx", device="cpu").spec.classes == ("bogus", "real")
    else:
        change(proto, **entries)
        onnx.save(proto, tmp_path / "m.onnx")
        refused(tmp_path / "m.onnx", text)
    tried(1)


@pytest.mark.promise(
    "Models", "weights that are NaN, golden pairs that differ, outputs that are missing"
)
def test_graphs(proto, tmp_path, tried):
    path = tmp_path / "m.onnx"
    for value in (np.nan, np.inf):
        broken = onnx.ModelProto()
        broken.CopyFrom(proto)
        weights = max(broken.graph.initializer, key=lambda t: np.prod(t.dims))
        array = numpy_helper.to_array(weights).copy()
        array[...] = value
        weights.CopyFrom(numpy_helper.from_array(array, weights.name))
        onnx.save(broken, path)
        refused(path, "")
        tried(1)
    for entry in proto.metadata_props:
        if entry.key == METADATA_KEY:
            spec = json.loads(entry.value)
    golden = spec["golden"] | {"scores": [1 - s for s in spec["golden"]["scores"]]}
    other = onnx.ModelProto()
    other.CopyFrom(proto)
    change(other, golden=golden)
    onnx.save(other, path)
    refused(path, "from the golden scores in it")
    slightly = spec["golden"] | {"scores": [s + 1e-3 for s in spec["golden"]["scores"]]}
    change(other, golden=slightly)
    onnx.save(other, path)
    assert not verify(path).ok
    fewer = onnx.ModelProto()
    fewer.CopyFrom(proto)
    fewer.graph.output.remove(next(o for o in fewer.graph.output if o.name == "classes"))
    onnx.save(fewer, path)
    refused(path, "has outputs ['score'] but needs ['score', 'classes']")
    none = onnx.ModelProto()
    none.CopyFrom(proto)
    change(none, golden=None)
    onnx.save(none, path)
    with pytest.raises(ModelError, match="no golden pairs to verify"):
        verify(path)
    assert Classifier(path, device="cpu").spec.golden is None
    tried(4)


@pytest.mark.promise("Models", "weights in other files are refused, wherever these lie")
@pytest.mark.parametrize("where", ["beside.bin", "../outside.bin", "/etc/passwd", "link.bin"])
def test_external_data(proto, tmp_path, where, tried):
    inside = tmp_path / "in"
    inside.mkdir()
    weights = max(proto.graph.initializer, key=lambda t: np.prod(t.dims))
    raw = numpy_helper.to_array(weights).tobytes()
    for path in (inside / "beside.bin", tmp_path / "outside.bin"):
        path.write_bytes(raw)
    (inside / "link.bin").symlink_to(tmp_path / "outside.bin")
    for field in ("raw_data", "float_data"):
        weights.ClearField(field)
    weights.data_location = TensorProto.EXTERNAL
    name, bare, graph = weights.name, weights.SerializeToString(), onnx.GraphProto()
    graph.CopyFrom(proto.graph)
    graph.initializer.remove(next(each for each in graph.initializer if each.name == name))
    proto.ClearField("graph")
    # As it is usually written, and with numbers in more bytes than they need, as protobuf allows.
    for key in (b"\x0a\x08location", b"\x0a\x88\x00location", b"\x8a\x80\x00\x88\x80\x00location"):
        tensor = bare + delimited(13, key + delimited(2, where.encode()))
        whole = proto.SerializeToString()
        whole += delimited(7, graph.SerializeToString() + delimited(5, tensor))
        read = next(each for each in onnx.load_from_string(whole).graph.initializer if each.name == name)
        assert [(entry.key, entry.value) for entry in read.external_data] == [("location", where)]
        (inside / "m.onnx").write_bytes(whole)
        refused(inside / "m.onnx", "keeps weights in other files")
        tried(1)


@pytest.mark.promise("Models", "any text as metadata is a spec or one error of ours")
def test_any_metadata(model_path, tried):
    whole = json.loads(Classifier(model_path, device="cpu").spec.to_json())
    spec = whole | {"golden": None}
    values = st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.sampled_from([10**400, -(10**400), 0, 1, 2.0, 1e300, -1.0, "1", "peak"])
        | st.floats()
        | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
        ),
        max_leaves=6,
    )

    def read(changed):
        tried(1)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                made = ModelSpec.from_json(json.dumps(changed))
            except RbinferError:
                return
            assert ModelSpec.from_json(made.to_json()).to_json() == made.to_json()
            # What was let through can be used.
            for rate in ("max_missed", "max_false"):
                with contextlib.suppress(InputError):
                    made.point_for(**{rate: 0.02})
            with contextlib.suppress(InputError):
                cutter = Cutter.prepare(
                    as_exposure(np.ones((9, 9), np.float32), fwhm=3.0), made.preprocess
                )
                assert np.isfinite(cutter.cut(np.array([4.0]), np.array([4.0])).pixels).all()

    @settings(max_examples=times(300, 8000), deadline=None)
    @given(st.sampled_from(sorted(spec)), values, st.booleans())
    def check(key, value, drop):
        read({k: v for k, v in spec.items() if k != key} if drop else spec | {key: value})

    parts = [("preprocess", key) for key in spec["preprocess"]]
    parts += [("readings", key) for key in spec["readings"][0]]
    parts += [("operating_points", key) for key in RATES]
    parts += [("golden", key) for key in whole["golden"]]

    @settings(max_examples=times(300, 8000), deadline=None)
    @given(st.sampled_from(parts), values)
    def check_parts(part, value):
        name, key = part
        if name == "operating_points":
            read(spec | {"readings": [reading(operating_points=[RATES, RATES | {key: value}])]})
        elif name == "readings":
            read(spec | {name: [*spec[name], reading(**{key: value})]})
        else:
            read(spec | {name: whole[name] | {key: value}})

    @settings(max_examples=times(100, 4000), deadline=None)
    @given(st.text() | st.binary().map(lambda b: b.decode("latin-1")))
    def check_text(text):
        tried(1)
        with pytest.raises(ModelError):
            ModelSpec.from_json(text)

    check()
    check_parts()
    check_text()


@pytest.mark.promise("Models", "loading a model imports neither pickle's users nor Keras")
def test_no_code(model_path, tried):
    code = (
        "import sys, builtins\n"
        "from rbinfer import Classifier\n"
        "import pickle\n"
        "def never(*a, **k): raise SystemExit('something was unpickled')\n"
        "pickle.load = pickle.loads = pickle.Unpickler = never\n"
        f"Classifier({str(model_path)!r}, device='cpu')\n"
        "assert not {'keras', 'tensorflow', 'onnx', 'torch'} & set(sys.modules)\n"
        "print('fine')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "fine\n", done
    tried(1)


@pytest.mark.promise(
    "Models", "a Keras file with code in it is refused by rbtrain, and the code not run"
)
def test_keras_code(tmp_path, tried):
    keras = pytest.importorskip("keras")
    trap = tmp_path / "trap"
    source = f"lambda x: (open({str(trap)!r}, 'w'), x)[1]"
    inputs = keras.Input((31, 31, 2))
    x = keras.layers.Lambda(eval(source))(inputs)
    x = keras.layers.Dense(1, activation="sigmoid")(keras.layers.GlobalAveragePooling2D()(x))
    keras.Model(inputs, x).save(tmp_path / "m.keras")
    trap.unlink(missing_ok=True)  # it ran when the model was built, which was ours to do
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from rbtrain.cli import main; sys.exit(main(sys.argv[1:]))",
            "export",
            str(tmp_path / "m.keras"),
            "-o",
            str(tmp_path / "m.onnx"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done
    assert "rbtrain: error:" in done.stderr
    assert not trap.exists()
    assert not (tmp_path / "m.onnx").exists()
    tried(1)
