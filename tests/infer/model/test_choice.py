"""The default model of a user: chosen, remembered, taken back; and never one that is broken or worse."""

import dataclasses
import json
import shutil

import onnx
import pytest

from rbinfer import Classifier
from rbinfer._util.hashing import digest
from rbinfer.cli import main
from rbinfer.errors import InputError, ModelError, ModelNotFoundError
from rbinfer.model import choice
from rbinfer.model.registry import (
    list_models,
    newest_version,
    next_version,
    resolve,
    shipped_model,
)
from rbinfer.model.session import read_spec
from rbinfer.model.spec import METADATA_KEY, ModelSpec


@pytest.fixture
def models(tmp_path, monkeypatch):
    folder = tmp_path / "models"
    monkeypatch.setenv("RBINFER_MODELS", str(folder))
    return folder


def described(path, **changes):
    """Copy the shipped model with other words about itself."""
    proto = onnx.load(shipped_model())
    spec = ModelSpec.from_json(proto.metadata_props[0].value)
    del proto.metadata_props[:]
    entry = proto.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, dataclasses.replace(spec, **changes).to_json()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(proto.SerializeToString())


def test_the_choice_is_the_default_until_it_is_taken_back(models, capsys):
    described(models / "mine-1.onnx", name="mine", version="1", adaptation={"verdict": "better"})
    described(models / "mine-2.onnx", name="mine", version="2", adaptation={"verdict": "better"})
    assert resolve(None) == shipped_model()
    assert main(["models", "use", "mine-1"]) == 0
    assert main(["models", "use", "mine"]) == 0
    assert resolve(None) == models / "mine-2.onnx"
    assert Classifier(device="cpu").spec.version == "2"
    assert capsys.readouterr().out == "your default is mine-1 now\nyour default is mine-2 now\n"
    assert choice.rollback().model == "mine-1"
    assert resolve(None) == models / "mine-1.onnx"
    assert main(["models", "rollback"]) == 0
    assert resolve(None) == shipped_model()
    with pytest.raises(InputError, match="there is nothing to take back"):
        choice.rollback()
    capsys.readouterr()
    assert main(["models", "history"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1:3] for line in lines] == [
        ["use", "mine-1"],
        ["use", "mine-2"],
        ["rollback", "mine-1"],
        ["rollback", "default"],
    ]
    assert read_spec(models / "mine-2.onnx").adaptation == {"verdict": "better"}  # the file stays


def test_no_choice_is_told(models, capsys):
    assert main(["models", "history"]) == 0
    assert capsys.readouterr().out == "no choice was made yet: the shipped model is your default\n"
    described(models / "mine-1.onnx", name="mine", adaptation={"verdict": "better"})
    choice.use("mine")
    capsys.readouterr()
    assert main(["models", "rollback"]) == 0
    assert capsys.readouterr().out == "your default is the shipped model now\n"


def test_what_is_worse_is_refused_unless_asked_for(models):
    worse = {"verdict": "worse", "worse": ["kept of your labels 99% -> 80%"]}
    described(models / "mine-1.onnx", name="mine", adaptation=worse)
    with pytest.raises(InputError, match=r"not proved to be better .*kept of your labels 99% -> 80%"):
        choice.use("mine")
    assert resolve(None) == shipped_model()
    assert choice.use("mine", anyway=True).model == "mine-1"


def test_a_damaged_model_does_not_become_the_default(models):
    golden = dataclasses.replace(
        read_spec(shipped_model()).golden, scores=read_spec(shipped_model()).golden.scores * 0.995
    )
    described(models / "odd.onnx", name="odd", golden=golden)
    with pytest.raises(ModelError, match="does not compute what it did"):
        choice.use("odd")
    with pytest.raises(ModelNotFoundError):
        choice.use("none")
    described(models.parent / "elsewhere.onnx")
    with pytest.raises(InputError, match="is not among your models; copy it to"):
        choice.use(str(models.parent / "elsewhere.onnx"))
    assert choice.history() == []


def test_a_default_that_is_gone_is_told_with_the_way_back(models):
    described(models / "mine-1.onnx", name="mine")
    choice.use("mine")
    (models / "mine-1.onnx").unlink()
    with pytest.raises(
        ModelNotFoundError, match=r"'mine-1', which is not in .* 'rbinfer models use default'"
    ):
        resolve(None)
    choice.use("default")
    assert resolve(None) == shipped_model()


def test_a_torn_line_does_not_count_and_is_not_joined(models):
    described(models / "mine-1.onnx", name="mine")
    choice.use("mine")
    with (models / "choices.jsonl").open("a") as file:
        file.write('{"model": "mi')
    assert resolve(None) == models / "mine-1.onnx"
    choice.use("default")
    assert [each.model for each in choice.history()] == ["mine-1", "default"]
    assert resolve(None) == shipped_model()


def test_what_a_killed_export_left_is_no_model(models):
    described(models / "mine-3.onnx", name="mine")
    shutil.copy(models / "mine-3.onnx", models / "mine-4.part.onnx")
    assert [entry.name for entry in list_models() if entry.origin == "user"] == ["mine-3"]
    assert newest_version("mine") == 3
    assert newest_version("other") == 0


def test_an_adaptation_travels_in_the_file_and_older_files_have_none(models):
    told = {"verdict": "better", "labels": {"real": 3, "bogus": 4}, "method": "head"}
    described(models / "mine-1.onnx", name="mine", adaptation=told)
    assert read_spec(models / "mine-1.onnx").adaptation == told
    text = read_spec(shipped_model()).to_json()
    assert "adaptation" not in json.loads(text)
    assert ModelSpec.from_json(text).adaptation == {}


def chosen_twice(models):
    """Make mine-1 the default and mine-2 after it."""
    for number in "12":
        described(models / f"mine-{number}.onnx", name="mine", version=number)
        choice.use(f"mine-{number}")


def test_a_choice_is_taken_back_to_the_very_file_or_not_at_all(models, monkeypatch):
    chosen_twice(models)
    noted = (models / "choices.jsonl").read_bytes()
    (models / "mine-1.onnx").rename(models / "mine-1-5.onnx")
    shutil.copy(shipped_model(), models.parent / "mine-1")
    monkeypatch.chdir(models.parent)
    # Neither the newest version of that name nor a file in the current folder is meant.
    with pytest.raises(ModelNotFoundError, match="the model before is 'mine-1', which is not in"):
        choice.rollback()
    described(models / "mine-1.onnx", name="another")
    with pytest.raises(ModelError, match=r"mine-1.onnx is not the file that was chosen on 20"):
        choice.rollback()
    assert (models / "choices.jsonl").read_bytes() == noted
    assert resolve(None) == models / "mine-2.onnx"
    # Chosen again as it is now, it is what is gone back to.
    choice.use("mine-1")
    choice.use("mine-2")
    assert choice.rollback().model == "mine-1"


def test_a_choice_is_not_taken_back_to_what_does_not_work(models):
    chosen_twice(models)
    golden = read_spec(shipped_model()).golden
    path, noted = models / "mine-1.onnx", models / "choices.jsonl"
    before = digest(path)
    described(path, name="mine", golden=dataclasses.replace(golden, scores=golden.scores * 0.995))
    noted.write_text(noted.read_text().replace(before, digest(path)))
    with pytest.raises(ModelError, match="does not compute what it did"):
        choice.rollback()
    assert resolve(None) == models / "mine-2.onnx"


def test_versions_are_never_given_twice(models):
    described(models / "mine-2.onnx", name="mine")
    choice.use("mine-2")
    (models / "mine-2.onnx").unlink()
    assert next_version("mine") == 3
    described(models / "rejected" / "mine-3.onnx", name="mine")
    assert next_version("mine") == 4
    assert next_version("other") == 1
    assert [entry.name for entry in list_models() if entry.origin == "user"] == []


def test_a_default_that_is_gone_is_told_by_the_list_and_the_doctor(models, capsys):
    from rbinfer.diagnostics.doctor import check_models

    described(models / "mine-1.onnx", name="mine")
    choice.use("mine")
    (models / "mine-1.onnx").unlink()
    assert main(["models", "list"]) == 0
    assert "your default is the model 'mine-1', which is not in" in capsys.readouterr().err
    finding = check_models()[-1]
    assert (finding.name, finding.level) == ("model mine-1", "problem")
    assert "your default is the model 'mine-1'" in finding.found
    assert finding.remedy == "put it back, or: rbinfer models use default"
