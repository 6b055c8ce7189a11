"""The part of a model file that says how its cutouts are made."""

from dataclasses import replace

import pytest

from rbinfer import PreprocessSpec
from rbinfer.errors import InputError, ModelError
from rbinfer.model.spec import ModelSpec

LIKELY = replace(PreprocessSpec.default(), likely_width=True)


@pytest.mark.parametrize("spec", [PreprocessSpec.default(), PreprocessSpec.reference(), LIKELY])
def test_round_trip(spec):
    assert PreprocessSpec.from_dict(spec.to_dict()) == spec
    whole = ModelSpec("m", "1", spec)
    assert ModelSpec.from_json(whole.to_json()) == whole


def test_files_of_before_read_as_they_did():
    assert "likely_width" not in PreprocessSpec.default().to_dict()
    assert LIKELY.to_dict()["likely_width"] is True
    old = {key: value for key, value in LIKELY.to_dict().items() if key != "likely_width"}
    assert PreprocessSpec.from_dict(old) == PreprocessSpec.default()


def test_keys_that_are_missing_or_unknown_are_named():
    data = PreprocessSpec.default().to_dict()
    with pytest.raises(ModelError, match=r"lacks \['size'\] and has unknown \['sise'\]"):
        PreprocessSpec.from_dict({**{k: v for k, v in data.items() if k != "size"}, "sise": 31})
    with pytest.raises(InputError, match="likely_width must be true or false, not 1"):
        PreprocessSpec.from_dict({**data, "likely_width": 1})
