"""Files that are damaged, missing, in the way, or that belong to something else."""

import gzip
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from rbinfer.cli import main
from rbinfer.io.tables import read_catalog
from rbinfer.model.registry import resolve

from .scale import times

FWHM = 3.2


@pytest.fixture
def night(scene, tmp_path):
    """Write an image and its catalogue, and return their paths."""
    image, table, _ = scene
    fits.writeto(tmp_path / "im.fits", image)
    table["x", "y"].write(tmp_path / "cat.ecsv")
    return tmp_path / "im.fits", tmp_path / "cat.ecsv"


def fails(capsys, *argv, text="", out=None):
    """Assert that a command ends with 1 and one sentence, and leaves nothing behind; return that."""
    folder = None if out is None else Path(out).parent
    before = None if folder is None or not folder.is_dir() else sorted(folder.iterdir())
    code = main([*map(str, argv), "-q"])
    told = capsys.readouterr()
    assert code == 1, (argv, told)
    assert told.out == ""
    lines = told.err.strip().splitlines()
    assert len(lines) <= 1, told.err
    if before is not None:
        assert sorted(folder.iterdir()) == before
    return told.err


def classify_fails(capsys, caplog, image, out, *options, text):
    caplog.clear()
    fails(capsys, "classify", image, "-o", out, *options, out=out)
    errors = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert len(errors) == 1, caplog.text
    assert "\n" not in errors[0]
    assert "Traceback" not in errors[0]
    assert text in errors[0], errors[0]


@pytest.mark.promise("Files", "a FITS file cut short anywhere is refused, or what it says is whole")
def test_truncated(night, tmp_path, capsys, caplog, tried):
    image, _ = night
    whole = image.read_bytes()
    compressed = tmp_path / "im.fits.fz"
    hdu = fits.CompImageHDU(fits.getdata(image), compression_type="RICE_1")
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(compressed)
    tiles = compressed.read_bytes()
    rng = np.random.default_rng(0)
    for data, suffix in ((whole, ".fits"), (tiles, ".fits.fz")):
        ends = [1, 79, 80, 2879, 2880, 2881, 5760, len(data) // 2, len(data) - 2881]
        ends += list(rng.integers(1, len(data) - 2880, times(10, 200)))
        for end in ends:
            path = tmp_path / f"cut{suffix}"
            path.write_bytes(data[:end])
            classify_fails(capsys, caplog, path, tmp_path / "o.ecsv", text=path.name)
            tried(1)


@pytest.mark.promise("Files", "a compressed FITS file that is cut short or changed anywhere is refused")
def test_damaged_gzip(night, tmp_path, capsys, caplog, tried):
    image, _ = night
    whole = gzip.compress(image.read_bytes())
    path, out = tmp_path / "damaged.fits.gz", tmp_path / "o.ecsv"
    rng = np.random.default_rng(2)
    n = len(whole)
    for end in [3, 20, n // 2, n - 9, n - 8, n - 1, *rng.integers(1, n, times(3, 100))]:
        path.write_bytes(whole[:end])
        classify_fails(capsys, caplog, path, out, text=path.name)
        tried(1)
    for at in [n // 3, n // 2, n - 8, n - 1, *rng.integers(10, n, times(3, 100))]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << int(rng.integers(8))]) + whole[at + 1 :])
        classify_fails(capsys, caplog, path, out, text=path.name)
        tried(1)
    path.write_bytes(whole)
    assert main(["classify", str(path), "-o", str(out), "-q"]) == 0
    assert main(["classify", str(image), "-o", str(tmp_path / "plain.ecsv"), "-q"]) == 0
    scores = [np.asarray(read_catalog(name)["rb_score"]) for name in (out, tmp_path / "plain.ecsv")]
    assert scores[0].tobytes() == scores[1].tobytes()


@pytest.mark.promise("Files", "an extension that is cut within its header is told, for it is left out")
def test_lost_extension(night, tmp_path, caplog, tried):
    pixels = fits.getdata(night[0])
    mask = fits.ImageHDU(np.ones(pixels.shape, np.uint8), name="MASK")
    path = tmp_path / "two.fits"
    fits.HDUList([fits.PrimaryHDU(pixels), mask]).writeto(path)
    whole = path.read_bytes()
    begins = len(whole) - 2880 * (1 + -(-pixels.size // 2880))
    for end in (begins + 80, begins + 1280, begins + 2879):
        path.write_bytes(whole[:end])
        caplog.clear()
        assert main(["classify", str(path), "-o", str(tmp_path / "o.ecsv"), "--overwrite"]) == 0
        assert f"{path} has something behind its last HDU that is none" in caplog.text
        tried(1)


@pytest.mark.promise("Files", "bytes changed anywhere in a FITS file end in scores or one sentence")
def test_damaged(night, tmp_path, capsys, tried):
    image, _ = night
    whole = bytearray(image.read_bytes())
    rng = np.random.default_rng(1)
    for _ in range(times(15, 600)):
        data = whole.copy()
        for at in rng.integers(0, 2880 if rng.random() < 0.8 else len(data), rng.integers(1, 8)):
            data[at] = rng.integers(0, 256)
        path = tmp_path / "damaged.fits"
        path.write_bytes(data)
        code = main(["classify", str(path), "-o", str(tmp_path / "o.ecsv"), "--overwrite", "-q"])
        told = capsys.readouterr()
        assert code in (0, 1), told.err
        assert "Traceback" not in told.err
        assert len(told.err.strip().splitlines()) <= 1
        tried(1)
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


@pytest.mark.promise("Files", "what is no image is refused in one sentence that says what it is")
def test_no_images(night, tmp_path, capsys, caplog, tried):
    image, _ = night
    out = tmp_path / "o.ecsv"
    (tmp_path / "empty.fits").touch()
    (tmp_path / "text.fits").write_text("SIMPLE as that\n" * 300)
    fits.BinTableHDU(Table({"x": [1.0]})).writeto(tmp_path / "table.fits")
    fits.writeto(tmp_path / "cube.fits", np.zeros((3, 40, 40), np.float32))
    fits.writeto(tmp_path / "line.fits", np.zeros(40, np.float32))
    fits.writeto(tmp_path / "complex.fits", np.zeros((40, 40), np.float32))
    header = fits.Header(
        [("SIMPLE", True), ("BITPIX", -32), ("NAXIS", 2), ("NAXIS1", 40), ("NAXIS2", 0)]
    )
    (tmp_path / "no_rows.fits").write_bytes(header.tostring().encode())
    cases = {
        "nowhere.fits": "does not exist",
        "empty.fits": "is empty",
        "text.fits": "cannot be read as FITS",
        "table.fits": "has no 2-D image",
        "cube.fits": "is a cube of 3 planes of 40 x 40 pixels",
        "line.fits": "",
        "no_rows.fits": "",
        ".": "is a folder; 'rbinfer batch",
        "pipe.fits": "is a device or a pipe",
        "/dev/zero": "is a device or a pipe",
    }
    os.mkfifo(tmp_path / "pipe.fits")
    for name, text in cases.items():
        classify_fails(capsys, caplog, tmp_path / name, out, text=text)
        tried(1)
    for hdu, text in (("7", "has no HDU 7"), ("SCI", "has no HDU 'SCI'"), ("-1", "has no HDU -1")):
        classify_fails(capsys, caplog, image, out, f"--hdu={hdu}", text=text)
        tried(1)


@pytest.mark.promise("Files", "catalogues that are damaged, or of another image, are refused")
def test_catalogues(night, tmp_path, capsys, caplog, tried):
    image, catalog = night
    out = tmp_path / "o.ecsv"
    table = read_catalog(catalog)
    for suffix in (".ecsv", ".fits", ".vot", ".parquet"):
        path = tmp_path / f"c{suffix}"
        table.write(path, overwrite=True, format="votable" if suffix == ".vot" else None)
        whole = path.read_bytes()
        if suffix == ".ecsv":
            # A text does not say how long it is; that its last line has no end is told.
            path.write_bytes(whole[: int(0.6 * len(whole))])
            caplog.clear()
            main(["classify", str(image), "--catalog", str(path), "-o", str(tmp_path / "p.ecsv")])
            assert "c.ecsv ends within a line; is it cut short?" in caplog.text
            capsys.readouterr()
            tried(1)
        for share in (0.0, 0.2) if suffix == ".ecsv" else (0.0, 0.2, 0.6):
            path.write_bytes(whole[: int(share * len(whole))])
            classify_fails(capsys, caplog, image, out, "--catalog", path, text=path.name)
            tried(1)
    other = table.copy()
    other["x"] += 350.0
    other.write(tmp_path / "other.ecsv")
    options = ("--catalog", tmp_path / "other.ecsv")
    classify_fails(capsys, caplog, image, out, *options, text="`shift_xy=")
    options = (*options, "--trust-positions")
    classify_fails(capsys, caplog, image, out, *options, text="positions lie off the image")
    code = main(["classify", str(image), *map(str, options), "--allow-off-image", "-o", str(out), "-q"])
    assert code == 0
    assert np.isnan(read_catalog(out)["rb_score"]).sum() > len(table) / 2
    tried(2)


@pytest.mark.promise("Files", "names with spaces, brackets, quotes and letters of any alphabet")
@pytest.mark.parametrize(
    "name", ["a b", "a[1]", "a[b,c]", "a'b\"c", "żółw ☄ 星", "a*?", "-a", "a;b&c", "%s{x}", "é" * 60]
)
def test_names(night, tmp_path, name, capsys, tried):
    image, catalog = night
    folder = tmp_path / name
    folder.mkdir()
    for path in (image, catalog):
        path.rename(folder / (name + path.suffix))
    images, out = folder / f"{name}.fits", folder / f"{name} out.fits"
    argv = ["classify", str(images), "--catalog", str(folder / f"{name}.ecsv"), "-o", str(out)]
    assert main([*argv, "--regions", str(folder / f"{name}.reg"), "--stamp"]) == 0
    assert len(read_catalog(out)) == len(read_catalog(folder / f"{name}.ecsv"))
    assert str(images) in capsys.readouterr().err
    assert main(["gallery", str(images), str(out), "-o", str(folder / f"{name}.png")]) == 0
    tried(2)


@pytest.mark.promise("Files", "existing outputs are kept to the byte unless --overwrite is given")
def test_existing_output(night, tmp_path, capsys, caplog, tried):
    image, _ = night
    for name in ("o.ecsv", "o.fits", "o.csv", "o.vot", "o.parquet"):
        out = tmp_path / name
        out.write_bytes(b"precious")
        classify_fails(capsys, caplog, image, out, text="exists and is kept; use `overwrite=True`")
        assert out.read_bytes() == b"precious"
        assert main(["classify", str(image), "-o", str(out), "--overwrite", "-q"]) == 0
        assert len(read_catalog(out)) > 50
        tried(2)
    # What is read is never replaced.
    before = image.read_bytes()
    classify_fails(capsys, caplog, image, image, "--overwrite", text="is what is read")
    assert image.read_bytes() == before
    maps, catalogue, model = tmp_path / "maps.fits", tmp_path / "c.ecsv", tmp_path / "m.fits"
    plane = fits.ImageHDU(np.zeros(fits.getdata(image).shape, np.int16), name="DQ")
    fits.HDUList([fits.PrimaryHDU(), plane]).writeto(maps)
    Table({"x": [50.0], "y": [50.0]}).write(catalogue)
    shutil.copy(resolve(None), model)
    kept = {path: path.read_bytes() for path in (maps, catalogue, model)}
    out = tmp_path / "new.ecsv"
    for destination, given in (
        (maps, ["--mask", f"{maps}[DQ]"]),
        (maps, ["--err", f"{maps}[DQ]"]),
        (model, ["--model", model]),
        (out, ["--regions", catalogue, "--catalog", catalogue]),
    ):
        arguments = (*map(str, given), "--overwrite")
        classify_fails(capsys, caplog, image, destination, *arguments, text="is what is read")
        tried(1)
    assert {path: path.read_bytes() for path in kept} == kept
    assert not out.exists()


@pytest.mark.promise("Files", "pixels that do not have the sum in their header are told")
def test_sums(night, tmp_path, capsys, caplog, tried):
    image, _ = night
    summed, changed = tmp_path / "summed.fits", tmp_path / "changed.fits"
    fits.writeto(summed, fits.getdata(image), checksum=True)
    whole = bytearray(summed.read_bytes())
    whole[len(whole) // 2] ^= 1
    changed.write_bytes(whole)
    for path, told in ((summed, False), (changed, True)):
        caplog.clear()
        assert main(["classify", str(path), "-o", str(path.with_suffix(".ecsv")), "-q"]) == 0
        assert ("do not have the sum that DATASUM tells" in caplog.text) == told
        tried(1)


@pytest.mark.skipif(os.name != "posix", reason="signals of Unix")
def test_a_lock_that_a_signal_left_locked_does_not_hold_the_end():
    code = """
import signal, threading
from rbinfer._util import interrupts
interrupts._GRACE = 1
lock = threading.Lock()
with interrupts.exit_on_sigterm(143):
    try:
        with lock:
            signal.raise_signal(signal.SIGTERM)
    finally:
        lock.acquire()
        lock.acquire()
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=120, check=False)
    assert done.returncode == 143


_TERM = "SIGTERM at any moment of classify leaves a whole result or none, and nothing temporary"


@pytest.mark.skipif(os.name != "posix", reason="signals of Unix")
@pytest.mark.promise("Files", _TERM)
def test_terminated(night, tmp_path, tried):
    image, _ = night
    rng, seconds, codes = np.random.default_rng(5), 60.0, []
    expected, wanted, n = None, times(8, 60), 0
    # Until one of them was told amid its work, on a machine that is as busy as it is.
    while n < wanted or (143 not in codes and n < 10 * wanted):
        (place := tmp_path / f"t{n}").mkdir()
        out = place / "o.ecsv"
        command = [sys.executable, "-m", "rbinfer", "classify", str(image), "-o", str(out), "-q"]
        start = time.monotonic()
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if n:
            # The second half of a run is scoring and writing.
            time.sleep(seconds * rng.uniform(0.4, 1.0))
            child.send_signal(signal.SIGTERM)
        _, said = child.communicate(timeout=600)
        if child.returncode == 0:
            seconds = min(seconds, time.monotonic() - start)
        n += 1
        # Python itself may still be starting, or be about to end.
        assert child.returncode in (0, 143, -signal.SIGTERM), said
        assert "Traceback" not in said
        names = [path.name for path in place.iterdir()]
        assert names in ([], ["o.ecsv"])
        if names:
            table = read_catalog(out)
            expected = table if expected is None else expected
            np.testing.assert_array_equal(table["rb_score"], expected["rb_score"])
        codes.append(child.returncode)
        tried(1)
    assert 143 in codes


@pytest.mark.promise(
    "Files", "outputs are made with the rights that a new file has, and links are followed"
)
def test_rights_and_links(night, tmp_path, tried):
    image, _ = night
    target, link = tmp_path / "target.ecsv", tmp_path / "link.ecsv"
    target.touch()
    link.symlink_to(target)
    assert main(["classify", str(image), "-o", str(link), "--overwrite", "-q"]) == 0
    assert link.is_symlink()
    assert len(read_catalog(target)) > 50
    fresh = tmp_path / "fresh"
    fresh.touch()
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(fresh.stat().st_mode)
    tried(1)


@pytest.mark.promise("Files", "loops of links and names too long are told before work")
def test_loops_of_links(night, tmp_path, capsys, caplog, tried):
    image, _ = night
    for name in ("loop.ecsv", "loop.fits"):
        (tmp_path / name).symlink_to(tmp_path / name)
    text = "Too many levels of symbolic links"
    out = tmp_path / "o.ecsv"
    classify_fails(capsys, caplog, image, tmp_path / "loop.ecsv", text=text)
    classify_fails(capsys, caplog, image, tmp_path / "loop.ecsv", "--overwrite", text=text)
    classify_fails(capsys, caplog, tmp_path / "loop.fits", out, text=text)
    classify_fails(capsys, caplog, image, out, "--regions", tmp_path / "loop.ecsv", text=text)
    classify_fails(capsys, caplog, image, out, "--mask", tmp_path / "loop.fits", text="loop.fits")
    classify_fails(capsys, caplog, image, tmp_path / f"{'a' * 300}.ecsv", text="File name too long")
    tried(6)


def run(argv, before=()):
    return subprocess.run(
        [*before, sys.executable, "-m", "rbinfer", *map(str, argv)], capture_output=True, text=True
    )


#: For root, who may read and write what nobody may: the rights of others.
_UNPRIVILEGED = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []


@pytest.mark.promise("Files", "paths that must not be read or written")
@pytest.mark.skipif(bool(_UNPRIVILEGED) and not shutil.which("setpriv"), reason="root needs setpriv")
def test_rights(night, tmp_path, tried):
    image, _ = night
    closed = tmp_path / "closed"
    closed.mkdir()
    secret = tmp_path / "secret.fits"
    secret.write_bytes(image.read_bytes())
    secret.chmod(0)
    closed.chmod(0o555)
    try:
        done = run(["classify", secret, "-o", tmp_path / "o.ecsv", "-q"], _UNPRIVILEGED)
        assert done.returncode == 1, done
        assert done.stderr == f"rbinfer: error: {secret} cannot be opened: Permission denied\n"
        done = run(["classify", image, "-o", closed / "o.ecsv", "-q"], _UNPRIVILEGED)
        assert done.returncode == 1, done
        assert "o.ecsv cannot be written: Permission denied" in done.stderr
        assert done.stderr.count("\n") == 1
        assert list(closed.iterdir()) == []
    finally:
        closed.chmod(0o755)
    tried(2)


@pytest.mark.promise("Files", "a full disk is one sentence, and leaves neither halves nor scratch")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small file system")
def test_full_disk(night, tmp_path, tried):
    image, _ = night
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(small)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        (small / "old.ecsv").write_text("precious")
        for name in ("o.ecsv", "o.fits", "o.vot", "o.csv", "o.parquet", "old.ecsv"):
            big = ["--catalog", tmp_path / "big.ecsv"]
            if not big[1].exists():
                table = read_catalog(tmp_path / "cat.ecsv")
                rng = np.random.default_rng(0)
                many = Table({c: np.tile(table[c], 40) + rng.uniform(0, 1, 4000) for c in ("x", "y")})
                many.write(big[1])
            done = run(["classify", image, *big, "-o", small / name, "--overwrite", "-q"])
            assert done.returncode == 1, (name, done)
            assert re.search("No space left on device|Not enough space on disk", done.stderr)
            assert done.stderr.count("\n") == 1, done.stderr
            assert [p.name for p in small.iterdir()] == ["old.ecsv"]
            assert (small / "old.ecsv").read_text() == "precious"
            tried(1)
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.promise(
    "Files", "a folder for the output that is not there, or is none, is told before work"
)
def test_no_folder(night, tmp_path, capsys, caplog, tried):
    image, _ = night
    for out, text in (
        (tmp_path / "no" / "o.ecsv", "does not exist"),
        (tmp_path / "im.fits" / "o.ecsv", "does not exist"),
        (tmp_path, "is a folder; name a file in it"),
        (Path("/dev/null.ecsv") / "x.ecsv", "does not exist"),
        (tmp_path / "o.xlsx", "names no catalogue format"),
    ):
        classify_fails(capsys, caplog, image, out, text=text)
        tried(1)
