"""The reference preset reproduces the golden vectors of the reference implementation."""

import json
from pathlib import Path

import numpy as np
import pytest

from rbinfer import extract_cutouts, preprocess_cutout

GOLDEN = Path(__file__).parents[3].parent / "shared" / "golden"

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="no golden vectors beside the clone")


def test_preprocess_golden():
    arrays = np.load(GOLDEN / "preprocess.npz")
    cases = json.loads((GOLDEN / "preprocess.json").read_text())
    assert len(cases) == 110
    for case in cases:
        i, kwargs = case["index"], dict(case["kwargs"])
        if case["bg_array"]:
            kwargs["cutout_bg"] = arrays[f"bg_{i}"]
        if case["err_array"]:
            kwargs["cutout_err"] = arrays[f"err_{i}"]
        out, scale = preprocess_cutout(arrays[f"in_{i}"], **kwargs)
        assert scale == case["scale_factor"], case
        np.testing.assert_allclose(out, arrays[f"out_{i}"], rtol=0, atol=1e-5, err_msg=str(case))


def test_extract_golden():
    arrays = np.load(GOLDEN / "extract.npz")
    cases = json.loads((GOLDEN / "extract.json").read_text())
    table = {"x": arrays["x"], "y": arrays["y"], "a": arrays["a"]}
    assert len(cases) == 8
    for case in cases:
        maps = {name: arrays[name] for name in case["maps"]}
        cutouts, valid = extract_cutouts(table, arrays["image"], **case["kwargs"], **maps)
        np.testing.assert_array_equal(valid, arrays[f"valid_{case['index']}"], str(case))
        np.testing.assert_allclose(
            cutouts, arrays[f"cutouts_{case['index']}"], rtol=0, atol=1e-5, err_msg=str(case)
        )
