"""What is run on a change and on a release; ``nox -l`` lists it.

Sessions for a change use the environment that nox is started in, which has the extras ``train``,
``test`` and ``docs``. Those for a release make environments of their own.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox

sys.path.insert(0, str(Path(__file__).parent / "release"))
from notes import section
from requirements import newest_and_oldest

nox.needs_version = ">=2024.4"
nox.options.sessions = ["lint", "tests", "docs"]
nox.options.default_venv_backend = "none"

#: Those for which all dependencies have wheels; sep had none for 3.14 on 2026-11-29.
PYTHONS = ["3.11", "3.12", "3.13"]
DIST = Path("dist")


@nox.session
def tests(session: nox.Session) -> None:
    """All tests, or those of the folders that are named behind ``--``."""
    session.run("python", "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, types, layers, and the plan of the packages."""
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")
    session.run("python", "docs/house.py", "--check")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, from nothing and without warnings; broken internal links are warnings."""
    shutil.rmtree("docs/_build", ignore_errors=True)
    shutil.rmtree("docs/reference/api", ignore_errors=True)
    session.run(
        "python", "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "docs", "docs/_build/html"
    )


@nox.session(venv_backend="venv")
def base(session: nox.Session) -> None:
    """The base install alone scores an image and finds nothing wrong with itself."""
    session.install(".")
    out = Path(session.create_tmp()) / "scored.fits"
    session.run("rbinfer", "classify", "benchmarks/example/field.fits", "-o", str(out), "--overwrite")
    session.run("rbinfer", "doctor")


@nox.session(venv_backend="venv")
def build(session: nox.Session) -> None:
    """Build sdist and wheels twice: the bytes must be the same. Then check them.

    One wheel is for Linux on x86-64, with the kernels compiled, and one for all other platforms.
    """
    session.install("build", "hatchling>=1.26", "twine", "check-wheel-contents", "numba", "numpy")
    stamp = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], capture_output=True, text=True, check=True
    ).stdout.strip()
    places = (DIST, Path(session.create_tmp()) / "again")
    for place in places:
        shutil.rmtree(place, ignore_errors=True)
        for levels in ("2,3,4", "none"):
            session.run(
                "python", "-m", "build", "--no-isolation", "-o", str(place),
                env={"SOURCE_DATE_EPOCH": stamp, "RBINFER_LEVELS": levels},
            )  # fmt: skip
    built = [{path.name: path.read_bytes() for path in place.iterdir()} for place in places]
    if built[0] != built[1]:
        session.error("the second build has other bytes than the first")
    session.log("built twice, with the same bytes")
    session.run("twine", "check", "--strict", *map(str, DIST.iterdir()))
    session.run("check-wheel-contents", *map(str, DIST.glob("*.whl")))


@nox.session(venv_backend="venv", python=PYTHONS)
@nox.parametrize("dependencies", ["newest", "oldest"])
def wheel(session: nox.Session, dependencies: str) -> None:
    """The wheel alone, in a fresh environment: its models are as exported, and it scores the example."""
    if dependencies == "oldest" and session.python != PYTHONS[0]:
        session.skip(f"the oldest dependencies are tried on Python {PYTHONS[0]}")
    found = sorted(DIST.resolve().glob("*-manylinux*.whl"))
    if not found:
        session.error("there is no wheel with compiled kernels in dist: run nox -s build")
    pins = newest_and_oldest(Path("pyproject.toml"))[dependencies]
    session.install(str(found[-1]), *pins, "--only-binary", ":all:")
    field = Path("benchmarks/example/field.fits").resolve()
    with session.chdir(session.create_tmp()):
        # Nothing of the clone is on the path here, so what runs is what the wheel holds.
        for model in ("default", "reference"):
            session.run("rbinfer", "models", "verify", model)
        session.run("rbinfer", "classify", str(field), "-o", "scored.ecsv", "--overwrite")


@nox.session(venv_backend="venv")
def sbom(session: nox.Session) -> None:
    """Write what a base install brings in as ``dist/rbinfer.cdx.json`` (CycloneDX)."""
    session.install("cyclonedx-bom")
    place = Path(session.create_tmp()) / "base"
    session.run("python", "-m", "venv", "--clear", "--without-pip", str(place))
    interpreter = place / ("Scripts" if os.name == "nt" else "bin") / "python"
    (found,) = DIST.glob("*-manylinux*.whl")
    session.run("python", "-m", "pip", "--python", str(interpreter), "install", "-q", str(found))
    session.run(
        "cyclonedx-py", "environment", str(interpreter), "--pyproject", "pyproject.toml",
        "--output-reproducible", "-o", str(DIST / "rbinfer.cdx.json"),
    )  # fmt: skip


@nox.session
def release(session: nox.Session) -> None:
    """Everything before a release: build, check, every Python that is here, notes and SBOM."""
    session.notify("build")
    for python in PYTHONS:
        if shutil.which(f"python{python}"):
            for dependencies in ("newest", "oldest"):
                session.notify(f"wheel-{python}(dependencies='{dependencies}')")
        else:
            session.warn(f"Python {python} is not here: not tried")
    session.notify("sbom")
    session.notify("notes")


@nox.session
def notes(session: nox.Session) -> None:
    """Write the newest section of the changelog as ``dist/NOTES.md``."""
    DIST.mkdir(exist_ok=True)
    text = section(Path("CHANGELOG.md").read_text(encoding="utf-8"))
    (DIST / "NOTES.md").write_text(text, encoding="utf-8")
