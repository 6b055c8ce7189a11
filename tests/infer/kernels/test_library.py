"""The library of kernels: found, opened or passed over, and Numba's bits at every level."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from rbinfer import PreprocessSpec, preprocess_cutout
from rbinfer.cutouts.cutter import Cutter
from rbinfer.io import text_rows
from rbinfer.io.exposure import as_exposure
from rbinfer.kernels import constants as c
from rbinfer.kernels import library
from rbinfer.kernels.dispatch import KERNELS, write_rows
from rbinfer.kernels.library import LEVELS, Found, LibraryError, find, opened
from rbinfer.measure.islands import find_detections

pytestmark = pytest.mark.usefixtures("kernels_as_library")


@pytest.fixture
def made(kernels_as_library):
    """The library that the tests use."""
    return kernels_as_library


@pytest.fixture
def places(made, tmp_path, monkeypatch):
    """Folders of a package and of a user, with nothing in them; and what is found there."""
    package, user = tmp_path / "package", tmp_path / "cache/rbinfer"
    for folder in (package, user):
        folder.mkdir(parents=True)
    monkeypatch.setattr(library, "PACKAGE", package)
    monkeypatch.setenv("XDG_CACHE_HOME", str(user.parent))
    return package, user, find.__wrapped__


def test_nothing_there(places):
    assert places[2]() == Found(None, ())


def test_the_packages_own_comes_first_and_then_the_users(places, made):
    package, user, search = places
    theirs = Path(shutil.copy(made.path, user))
    assert search().library.path == theirs
    ours = Path(shutil.copy(made.path, package))
    assert search().library.path == ours


def test_a_user_without_a_home(places, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")

    def nobody():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(library.Path, "home", nobody)
    assert library.cache_folder() is None
    assert places[2]() == Found(None, ())


def test_one_of_other_sources_is_passed_over_and_said(places, made, caplog):
    package, _, search = places
    stale = shutil.copy(made.path, package / f"kernels-{'0' * 32}.so")
    assert search() == Found(None, (f"{stale} is of other sources",))
    assert f"{stale} is of other sources" in caplog.text


@pytest.mark.parametrize("damage", ["flipped", "cut", "emptied"])
def test_damaged_one_is_passed_over(places, made, damage, caplog):
    package, user, search = places
    path = package / made.path.name
    data = bytearray(made.path.read_bytes())
    data[5000] ^= 1
    path.write_bytes({"flipped": bytes(data), "cut": data[:-50], "emptied": b""}[damage])
    assert search() == Found(None, (f"{path} is passed over: it is damaged",))
    assert f"{path} is passed over: it is damaged" in caplog.text
    shutil.copy(made.path, user)
    assert search().library.path == user / made.path.name


def test_what_cannot_be_opened_is_passed_over(places, made):
    package, _, search = places
    data = b"no library, but whole"
    (package / made.path.name).write_bytes(data + library.hashlib.sha256(data).digest())
    found = search()
    assert found.library is None
    assert "passed over" in found.passed_over[0]


@pytest.mark.parametrize("mode", [0o666, 0o664])
def test_a_users_that_others_can_write_is_not_run(places, made, mode):
    package, user, search = places
    path = user / made.path.name
    shutil.copy(made.path, path)
    path.chmod(mode)
    assert search() == Found(None, (f"{path} is passed over: others can write it",))
    # That of the package is as safe as the package's other files.
    Path(shutil.copy(made.path, package)).chmod(mode)
    assert search().library.path == package / made.path.name


def test_a_cpu_that_it_has_no_code_for(made, tmp_path):
    data = bytearray(made.path.read_bytes()[: -library.HASH])
    for level in LEVELS:  # renamed: no code of the levels is found
        data = data.replace(b"rbinfer_cut_default_f_v%d" % level, b"rbinfer_cut_default_f_x%d" % level)
    path = tmp_path / "none.so"
    path.write_bytes(data + library.hashlib.sha256(data).digest())
    with pytest.raises(
        LibraryError, match=r"it has code for CPUs of the levels .* of x86-64, and this one"
    ):
        opened(path)
    with pytest.raises(LibraryError):
        opened(made.path, 5)


def test_package_without_sources(monkeypatch):
    monkeypatch.setattr(library, "_DIGEST", None)
    assert library.file_name() is None
    assert find.__wrapped__() == Found(None, ())


def test_level_is_that_of_the_cpu(made):
    with open("/proc/cpuinfo") as file:
        flags = next(line for line in file if line.startswith("flags")).split()
    expected = 4 if "avx512vl" in flags else 3 if {"avx2", "fma", "bmi2"} <= set(flags) else 2
    assert made.level == expected
    assert library.levels_of(made.handle) == LEVELS


# ------------------------------------------------------------------------------------------- bits


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(3)
    image = rng.normal(500, 7, (120, 140)).astype(np.float32)
    for _ in range(40):
        i, j = rng.integers(2, 118), rng.integers(2, 138)
        image[i - 2 : i + 3, j - 2 : j + 3] += rng.exponential(300)
    image[rng.integers(0, 120, 20), rng.integers(0, 140, 20)] = np.nan
    x, y = rng.uniform(-2, 142, 80), rng.uniform(-2, 122, 80)
    mask = rng.random(image.shape) < 0.02
    return image, mask, x, y


def cut_all(scene):
    image, mask, x, y = scene
    noise = np.full_like(image, 7)
    noise[:40] = 9
    cases = [{}, {"mask": mask}, {"bg": noise + 491, "err": noise}, {"bg": 500.0, "err": 7.0}]
    for preset in ("reference", "default"):
        spec = getattr(PreprocessSpec, preset)()
        for fwhm in (1.2, 3.0, 4.0, 7.3):
            for case in cases:
                yield from Cutter.prepare(
                    as_exposure(image, fwhm=fwhm, saturation=900, **case), spec
                ).cut(x, y)


def preprocess_all(scene):
    for dtype in ("f4", "f8"):
        cutout = scene[0][:33, :37].astype(dtype)
        for fwhm in (None, 1.0, 3.0, 7.0):
            for background in (None, np.full_like(cutout, 490), 480.0):
                yield preprocess_cutout(cutout, background, fwhm=fwhm)[0]


def detect_all(scene):
    image, mask, _, _ = scene
    for area in (mask, None):
        for smooths in (False, True):
            for contrast in (0.005, 1.0):
                rows = find_detections(image, area, 2.0, 3, smooths, contrast, 2)
                assert len(rows) > 20
                yield rows


def write_all(scene):
    rng = np.random.default_rng(4)
    doubles = rng.integers(0, 2**64, 2000, np.uint64).view(np.float64)
    singles = rng.integers(0, 2**32, 2000, np.uint32).view(np.float32)
    bits = [rng.integers(-(2**63), 2**63 - 1, 2000), doubles.view(np.int64), singles.view(np.int32)]
    starts = rng.integers(0, 90, 2000)
    cells = np.stack([*bits, starts * c.TEXT_ROOM + starts % 10], axis=1)
    out, size = np.zeros(2000 * 100, np.uint8), np.zeros(1, np.int64)
    kinds = np.array([c.WHOLE, c.DOUBLE, c.SINGLE, c.TEXT])
    texts = np.arange(33, 133, dtype=np.uint8)
    write_rows(cells, kinds, texts, text_rows._powers(), 32, 46, 6, out, size)
    assert out[: size[0]].tobytes().count(b"\n") == 2000
    yield out[: size[0]]


def run_by(monkeypatch, found, work, scene):
    """Do some work by the code of a library, or by Numba where there is none."""
    with monkeypatch.context() as patched:
        patched.setattr(library, "find", lambda: found)
        for kernel in KERNELS:
            for name in ("_function", "_library", "_why"):
                patched.setattr(kernel, name, None)
        arrays = [np.asarray(each).tobytes() for each in work(scene)]
        used = [kernel for kernel in KERNELS if kernel._function is not None]
        assert used
        assert {kernel.is_native for kernel in used} == {found.library is not None}
        return arrays


@pytest.mark.parametrize("work", [cut_all, preprocess_all, detect_all, write_all])
def test_every_level_gives_numbas_bits(monkeypatch, made, scene, work):
    numbas = run_by(monkeypatch, Found(None), work, scene)
    for level in (each for each in LEVELS if each <= made.level):
        assert run_by(monkeypatch, Found(opened(made.path, level)), work, scene) == numbas
