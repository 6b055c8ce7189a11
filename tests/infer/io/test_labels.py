"""The table of labels: appended to by several processes, killed, edited, read back."""

import errno
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from rbinfer.errors import InputError, RbinferError
from rbinfer.io.labels import FIRST_HDU, Label, LabelFile, current, key_of, read_labels

ONE = Label("/data/a b.fits", "ab12", 10.0, 20.5, "real")
FULL = Label(
    "/data/m31.fits", "cd34", 1.23456, 2.0, "bogus", 3, "R", "/out/m31.ecsv", 17, 10.684, 41.269,
    "cosmic_ray", 0.25, "real", "random", "Ada", "2026-01-02T03:04:05Z", "dark", 0.99,
)  # fmt: skip


def _same(a, b):
    return all(x == y or (x != x and y != y) for x, y in zip(_values(a), _values(b), strict=True))


def _values(label):
    return list(label.__dict__.values())


def test_what_is_appended_is_read_back(tmp_path):
    path = tmp_path / "labels.ecsv"
    LabelFile(path).append([ONE, FULL])
    LabelFile(path).append([replace(ONE, label="undo")])
    found = read_labels(path)
    assert len(found) == 3
    assert _same(found[0], ONE)
    assert _same(found[1], replace(FULL, x=1.235))
    assert found[2].label == "undo"


def test_astropy_reads_it(tmp_path):
    path = tmp_path / "labels.ecsv"
    LabelFile(path).append([ONE, FULL])
    table = Table.read(path)
    assert table.colnames == [
        "image", "hash", "hdu", "plane", "catalog", "row", "x", "y", "ra", "dec", "label", "class",
        "score", "verdict", "part", "who", "when", "evidence", "purity",
    ]  # fmt: skip
    assert list(table["label"]) == ["real", "bogus"]
    assert table["hdu"].tolist() == [FIRST_HDU, 3]
    assert str(table["ra"].unit) == "deg"
    assert table["x"].tolist() == [10.0, 1.235]
    assert math.isnan(table["purity"][0])


def test_what_astropy_writes_again_is_read_and_not_mixed_up(tmp_path):
    path, again = tmp_path / "labels.ecsv", tmp_path / "again.ecsv"
    LabelFile(path).append([ONE, FULL])
    table = Table.read(path)
    table.write(again)
    LabelFile(again).append([replace(ONE, x=3.0)])
    assert [label.x for label in read_labels(again)] == [10.0, 1.235, 3.0]
    table[["y", "x", "label", "image", "hash"]].write(again, overwrite=True)
    found = read_labels(again)
    assert (found[1].x, found[1].y, found[1].row, found[1].evidence) == (1.235, 2.0, -1, "person")
    before = again.read_bytes()
    with pytest.raises(InputError, match="other columns"):
        LabelFile(again).append([ONE])
    assert again.read_bytes() == before


def test_which_labels_count():
    undo, other = replace(ONE, label="undo"), replace(ONE, x=10.001)
    assert current([ONE, replace(ONE, label="bogus")]) == [replace(ONE, label="bogus")]
    assert current([ONE, replace(ONE, label="bogus"), undo]) == [ONE]
    assert current([ONE, replace(ONE, label="bogus"), undo, undo]) == []
    assert current([undo, ONE, replace(ONE, plane="1")]) == [ONE, replace(ONE, plane="1")]
    assert current([ONE, other, undo]) == [other]
    assert current([ONE, undo, replace(ONE, label="skip")]) == [replace(ONE, label="skip")]
    harvested = replace(ONE, label="bogus", evidence="dark")
    assert current([ONE, harvested]) == [ONE]  # a person's is not outranked
    assert current([harvested, ONE, undo]) == [harvested]
    assert current([replace(ONE, hash="other"), ONE]) == [replace(ONE, hash="other"), ONE]
    assert key_of("h", 1, "R", 1.00049, 2.0) == ("h", 1, "r", 1.0, 2.0)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.8, 0.9, 0.999])
def test_what_a_killed_writer_left_is_mended(tmp_path, kept):
    path = tmp_path / "labels.ecsv"
    LabelFile(path).append([ONE])
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    assert read_labels(path) == []
    LabelFile(path).append([FULL])
    assert [label.hash for label in read_labels(path)] == ["cd34"]
    path.write_bytes(whole + b'"/data/torn li')
    assert [label.hash for label in read_labels(path)] == ["ab12"]
    LabelFile(path).append([FULL])
    assert [label.hash for label in read_labels(path)] == ["ab12", "cd34"]
    assert len(Table.read(path)) == 2


def test_news_of_others(tmp_path):
    path = tmp_path / "labels.ecsv"
    mine, yours = LabelFile(path), LabelFile(path)
    assert mine.new() == []
    yours.append([ONE])
    assert [label.x for label in mine.new()] == [10.0]
    assert mine.new() == []
    mine.append([replace(ONE, x=1.0)])
    yours.append([replace(ONE, x=2.0)])
    with path.open("ab") as file:
        file.write(b'"/data/to')  # on its way
    assert [label.x for label in mine.new()] == [1.0, 2.0]
    yours.append([replace(ONE, x=3.0)])
    assert [label.x for label in mine.new()] == [3.0]


def test_a_file_that_became_another_is_read_anew(tmp_path):
    path, other = tmp_path / "labels.ecsv", tmp_path / "other.ecsv"
    mine = LabelFile(path)
    mine.append([ONE])
    assert len(mine.new()) == 1
    LabelFile(other).append([replace(ONE, x=1.0), replace(ONE, x=2.0), replace(ONE, x=3.0)])
    other.replace(path)  # larger than what was read
    assert (mine.restarts, [label.x for label in mine.new()], mine.restarts) == (0, [1.0, 2.0, 3.0], 1)


def test_what_cannot_be_written_or_locked_is_found_before_anything_is_written(tmp_path, monkeypatch):
    import fcntl

    def refused(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    path = tmp_path / "labels.ecsv"
    LabelFile(path).check()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RbinferError, match="cannot be written"):
        LabelFile(Path("/proc/labels.ecsv")).check()
    monkeypatch.setattr(fcntl, "flock", refused)
    LabelFile(path).append([ONE])  # by the other kind of lock
    assert _same(read_labels(path)[0], ONE)
    monkeypatch.setattr(fcntl, "lockf", refused)
    for action in (LabelFile(path).check, lambda: LabelFile(path).append([ONE])):
        with pytest.raises(RbinferError, match="cannot be locked: No locks available"):
            action()
    assert len(read_labels(path)) == 1


def test_the_other_kind_of_lock_outlasts_reading(tmp_path, monkeypatch):
    import fcntl

    def refused(file, how):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refused)
    path = tmp_path / "labels.ecsv"
    labels = LabelFile(path)
    labels.append([ONE])
    other = (
        "import fcntl, sys\nwith open(sys.argv[1], 'rb+') as f:\n"
        "    try:\n        fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "    except OSError:\n        sys.exit(3)\n"
    )
    with labels.alone() as file:
        assert len(labels.new(file)) == 1
        assert subprocess.run([sys.executable, "-c", other, path], check=False).returncode == 3
    assert subprocess.run([sys.executable, "-c", other, path], check=False).returncode == 0


@settings(max_examples=40, deadline=None)
@given(
    text=st.text(st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp")), max_size=30),
    x=st.floats(-1e6, 1e6),
    purity=st.floats(0, 1),
)
def test_any_text_and_number_survives(tmp_path_factory, text, x, purity):
    text = text.strip(" ")
    path = tmp_path_factory.mktemp("any") / "labels.ecsv"
    label = replace(ONE, image=f"/{text}", who=text, x=x, purity=purity)
    LabelFile(path).append([label, ONE])
    found = read_labels(path)
    assert found[0].image == f"/{text}"
    assert found[0].who == text
    assert (found[0].x, found[0].purity) == (round(x, 3), purity)
    assert found[0].key == label.key
    assert _same(found[1], ONE)


@pytest.mark.parametrize("name", ["image", "plane", "catalog", "who", "evidence"])
@pytest.mark.parametrize("text", ["/a ", " /a", "/a\t", "/a\nb"])
def test_what_a_table_would_not_keep_is_refused(tmp_path, name, text):
    labels = LabelFile(tmp_path / "labels.ecsv")
    labels.append([ONE])
    before = labels.path.read_bytes()
    with pytest.raises(InputError, match=f"a label's {name} "):
        labels.append([replace(ONE, **{name: text})])
    assert labels.path.read_bytes() == before


def test_bad_input(tmp_path):
    path = tmp_path / "labels.ecsv"
    with pytest.raises(InputError, match="'maybe' is none of real, bogus, skip, undo"):
        LabelFile(path).append([ONE, replace(ONE, label="maybe")])
    with pytest.raises(InputError, match="line break"):
        LabelFile(path).append([replace(ONE, image="/a\nb")])
    assert not path.exists()
    with pytest.raises(InputError, match="does not exist"):
        read_labels(path)
    with pytest.raises(InputError, match=r"the folder .* does not exist"):
        LabelFile(tmp_path / "none" / "labels.ecsv")
    path.write_text("not a table\n")
    with pytest.raises(InputError, match=r"labels\.ecsv"):
        read_labels(path)
    Table({"x": [1.0], "y": [2.0]}).write(path, format="ascii.ecsv", overwrite=True)
    with pytest.raises(InputError, match="no column image, hash, label"):
        read_labels(path)
    with pytest.raises(RbinferError, match="cannot be written"):
        LabelFile(tmp_path).append([ONE])


_WRITER = """
import sys
from pathlib import Path
from rbinfer.io.labels import Label, LabelFile
who, path = sys.argv[1:]
labels = LabelFile(Path(path))
for k in range(1000000):
    labels.append([Label(f"/data/{who}.fits", who, k, 0.0, "real", who=who)])
    print(k, flush=True)
"""


def test_writers_that_are_killed_lose_nothing_that_was_said(tmp_path):
    path = tmp_path / "labels.ecsv"
    rng = np.random.default_rng(5)
    said = {}
    for turn in range(6):
        names = [f"{turn}a", f"{turn}b", f"{turn}c"]
        running = [
            subprocess.Popen([sys.executable, "-c", _WRITER, name, path], stdout=subprocess.PIPE)
            for name in names
        ]
        for process in running:
            process.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.2))
        for name, process in zip(names, running, strict=True):
            os.kill(process.pid, signal.SIGKILL)
            said[name] = len(process.stdout.read().splitlines()) + 1
            process.wait()
            process.stdout.close()
    found = {name: [] for name in said}
    for label in read_labels(path):
        found[label.hash].append(label.x)
    for name, n in said.items():
        assert found[name] == list(range(len(found[name])))  # each once, in order
        assert len(found[name]) - n in (0, 1)  # the last may be written and not yet said
    assert len(Table.read(path)) == sum(map(len, found.values()))
