"""Files are replaced whole or not at all."""

import pytest

from rbtrain._files import first, part_of, replaced


def test_what_was_written_takes_the_place(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_text("old")
    with replaced(path) as part:
        assert part == part_of(path) == tmp_path / "model.part.onnx"
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def write_half(path, error):
    with replaced(path) as part:
        part.write_text("half")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path, error):
    path = tmp_path / "state.json"
    path.write_text("old")
    with pytest.raises(error):
        write_half(path, error)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_written_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), replaced(tmp_path / "state.json"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_first_is_alone_until_it_is_done(tmp_path):
    lock = tmp_path / "set.lock"
    for _ in range(2):
        with first(lock) as is_first, first(lock) as is_second:
            assert (is_first, is_second) == (True, False)
        assert not lock.exists()
    with pytest.raises(KeyboardInterrupt), first(lock):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
