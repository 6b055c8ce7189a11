"""What a start of the command costs: what it imports, and how often Python looks for garbage."""

import gc
import gzip
import subprocess
import sys

import pytest
from astropy.io import fits

import rbinfer.pipeline.score_file
from rbinfer.cli import main


@pytest.fixture
def inputs(scene, tmp_path):
    image, table, _ = scene
    fits.writeto(tmp_path / "image.fits", image)
    table.write(tmp_path / "catalog.fits")
    return tmp_path / "image.fits", tmp_path / "catalog.fits"


def run(code, *argv):
    """Run a program with arguments; return its last line on stdout."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, argv)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def imported(inputs, out, *extra):
    """Return what a run of classify imported of a list of modules."""
    image, catalog = inputs
    code = (
        "import sys; from rbinfer.cli import main; code = main(sys.argv[1:])\n"
        "names = ['rbinfer.measure.psf', 'rbinfer.measure.detect', 'rbinfer.cli.batch', 'astropy',\n"
        "'sep', 'numba', 'llvmlite']\n"
        "print('imported:', *(name for name in names if name in sys.modules)); sys.exit(code)"
    )
    return run(code, "classify", image, "--catalog", catalog, "-o", out, "-q", *extra).split()[1:]


def test_a_given_width_imports_nothing_that_measures_one(inputs, tmp_path):
    main(["warmup", "-q"])
    assert imported(inputs, tmp_path / "given.fits", "--fwhm", "3") == []
    assert imported(inputs, tmp_path / "measured.fits") == ["rbinfer.measure.psf"]


def test_a_detection_imports_neither_sep_nor_a_compiler(inputs, tmp_path):
    main(["warmup", "-q"])
    code = (
        "import sys; from rbinfer.cli import main; main(sys.argv[1:])\n"
        "print('imported:', *({'sep', 'numba', 'llvmlite', 'scipy'} & set(sys.modules)))"
    )
    assert run(code, "classify", inputs[0], "-o", tmp_path / "o.ecsv", "-q") == "imported:"


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_detection_that_is_written_as_fits_imports_no_astropy(inputs, tmp_path, suffix):
    image = tmp_path / f"image.fits{suffix}"
    if suffix:
        image.write_bytes(gzip.compress(inputs[0].read_bytes()))
    code = (
        "import sys; from rbinfer.cli import main; main(sys.argv[1:])\n"
        "print('imported:', *({'astropy'} & set(sys.modules)))"
    )
    assert run(code, "classify", image, "-o", tmp_path / "o.fits.gz", "-q") == "imported:"


@pytest.mark.parametrize(
    ("cards", "name"), [({"CTYPE1": "RA---TAN"}, "o.fits"), ({"BSCALE": 2.0}, "o.fits"), ({}, "o.ecsv")]
)
def test_what_takes_astropy_imports_it(inputs, tmp_path, cards, name):
    with fits.open(inputs[0], mode="update") as hdus:
        hdus[0].header.update(cards)
    assert imported(inputs, tmp_path / name, "--fwhm", "3") == ["astropy"]


@pytest.mark.parametrize("argv", ["['rbinfer', 'status', '3']", "['rbinfer', '--version']"])
def test_the_program_leaves_its_objects_to_the_end_of_the_process(argv):
    code = (
        f"import gc, sys; from rbinfer.cli import program; sys.argv = {argv}\n"
        "try: program()\n"
        "except SystemExit: pass\n"
        "print(gc.get_freeze_count() > 1000)"
    )
    assert run(code) == "True"


def test_classify_seldom_looks_for_garbage_and_other_callers_as_before(inputs, tmp_path, monkeypatch):
    image, catalog = inputs
    seen = []
    scored = rbinfer.pipeline.score_file.score_file

    def noted(*arguments):
        seen.append(gc.get_threshold()[0])
        return scored(*arguments)

    monkeypatch.setattr("rbinfer.pipeline.score_file.score_file", noted)
    before = gc.get_threshold(), gc.get_freeze_count()
    argv = ["classify", str(image), "--catalog", str(catalog), "-q", "-o"]
    assert main([*argv, str(tmp_path / "out.fits")]) == 0
    assert main([*argv, str(tmp_path / "none" / "out.fits")]) == 1
    assert seen == [50_000]
    assert (gc.get_threshold(), gc.get_freeze_count()) == before
