"""Where models of the user's own go: no version twice, what is no better apart, nothing replaced."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from rbinfer.errors import InputError
from rbtrain.export.place import check_suffix, placed


@pytest.fixture
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("RBINFER_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def test_what_is_no_better_lies_apart_and_has_its_version(models):
    for number, is_better in enumerate((True, False, False, True), 1):
        with placed("mine", None, is_better) as (path, version):
            assert path == (models if is_better else models / "rejected") / f"mine-{number}.onnx"
            assert version == str(number)
            path.parent.mkdir(exist_ok=True)
            path.touch()


def test_a_version_is_taken_once_however_many_want_it(models):
    def one(_):
        with placed("mine", None, True) as (path, _), path.open("x"):
            return path.name

    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(one, range(40)))
    assert sorted(names) == sorted(f"mine-{k}.onnx" for k in range(1, 41))


def test_a_file_that_exists_is_kept(models, tmp_path):
    (tmp_path / "own.onnx").touch()
    with (
        pytest.raises(InputError, match=r"own\.onnx exists and is kept"),
        placed("a", tmp_path / "own.onnx", True),
    ):
        pass
    with placed("a", tmp_path / "new.onnx", False) as (path, version):
        assert (path, version) == (tmp_path / "new.onnx", "1")
    assert not models.exists()


@pytest.mark.parametrize("name", ["mine.keras", "mine", "onnx"])
def test_a_model_file_has_the_suffix_of_one(tmp_path, name):
    check_suffix(tmp_path / "mine.ONNX")
    with pytest.raises(InputError, match=rf"must end in \.onnx, not '{name}': name another with -o"):
        check_suffix(tmp_path / name)
