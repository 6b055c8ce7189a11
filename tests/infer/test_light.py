"""What the base install brings in, and what it does not."""

import json
import subprocess
import sys

HEAVY = ("tensorflow", "keras", "tf2onnx", "onnx", "scipy", "rbtrain", "matplotlib", "tqdm", "jax")


def modules_after(code: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_import_brings_in_nothing_heavy():
    loaded = modules_after("import rbinfer")
    assert not [m for m in (*HEAVY, "numba", "onnxruntime", "astropy", "sep") if m in loaded]


def test_scoring_works_where_nothing_heavy_can_be_imported():
    # Numba takes SciPy where it is installed; without it, all must go on.
    loaded = modules_after(
        f"import sys\nsys.modules.update(dict.fromkeys({HEAVY!r}))\n"
        "import numpy as np, rbinfer\n"
        "image = np.random.default_rng(0).normal(0, 1, (80, 80))\n"
        "out = rbinfer.classify_realbogus({'x': [40.0], 'y': [40.0]}, image, flag_bogus=False)\n"
        "assert np.isfinite(out['rb_score']).all()"
    )
    assert "onnxruntime" in loaded


def test_scoring_needs_no_numba_where_there_is_a_library(kernels_as_library):
    loaded = modules_after(
        "import numpy as np, rbinfer\n"
        "image = np.random.default_rng(0).normal(0, 1, (80, 80))\n"
        "for model in ('default', 'reference'):\n"
        "    scores = rbinfer.Classifier(model).score(image, [40.0], [40.0], fwhm=3.0).score\n"
        "    assert np.isfinite(scores).all()"
    )
    assert "onnxruntime" in loaded
    assert not {"numba", "llvmlite"} & set(loaded)


def test_public_names():
    import rbinfer

    for name in rbinfer.__all__:
        assert getattr(rbinfer, name) is not None
    assert set(rbinfer.__all__) <= set(dir(rbinfer))
