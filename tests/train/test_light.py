"""What needs no TensorFlow does not load it."""

import subprocess
import sys

import pytest

HEAVY = {"tensorflow", "keras", "tf2onnx", "jax"}


@pytest.mark.parametrize(
    "names", ["rbtrain, rbtrain.simulate", "rbtrain.data.dataset", "rbtrain.judging.evaluate"]
)
def test_simulating_and_measuring_load_no_framework(names):
    script = f"import {names}, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "numpy" in loaded
    assert not loaded & HEAVY
