"""Environments: installs that cannot be written, other CPUs, locales, no terminal, other versions."""

import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from rbinfer.kernels.library import LEVELS

from .environments import ROOT, Scene, rbinfer
from .scale import FULL, times

# What the base install needs is tested by these, and needs no more than this to run them.
_LIGHT_TESTS = (
    "cutouts",
    "kernels",
    "cli/test_cli.py",
    "cli/test_exposure_options.py",
    "cli/test_outputs.py",
    "io/test_ecsv_rows.py",
    "io/test_tables.py",
    "io/test_images.py",
    "io/test_positions.py",
    "measure",
    "scoring/test_classifier.py",
    "scoring/test_functions.py",
    "scoring/test_rows.py",
    "pipeline",
    "test_light.py",
)
_TEST_TOOLS = ("pytest", "hypothesis", "psutil", "scipy")


@pytest.fixture(scope="module")
def here(scene, tmp_path_factory) -> Scene:
    """The scene on disk."""
    return Scene.write(tmp_path_factory.mktemp("scene"), *scene)


@pytest.fixture(scope="module")
def ordinary(here) -> np.ndarray:
    """Scores of an ordinary run."""
    done = rbinfer(*here.arguments())
    assert done.returncode == 0, done.stderr
    scores = here.scores()
    assert np.isfinite(scores).sum() > 90
    return scores


def without_rights() -> list[str]:
    """Start of a command to which permissions apply, also where root runs the tests."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere, and there is no setpriv to take that right away")
    rights = "-dac_override,-dac_read_search,-fowner"
    return ["setpriv", f"--inh-caps={rights}", f"--bounding-set={rights}"]


@pytest.fixture
def read_only_install(tmp_path):
    """A directory like site-packages with rbinfer as the wheel has it, that nobody can write."""
    site = tmp_path / "site"
    shutil.copytree(ROOT / "rbinfer", site / "rbinfer", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "models", site / "rbinfer" / "models")
    folders = [site, *(path for path in site.rglob("*") if path.is_dir())]
    for path in site.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    site.chmod(0o555)
    yield site
    for path in folders:
        path.chmod(0o755)


@pytest.mark.promise(
    "Environments", "Read-only install and no home: works, the same scores, and says once why slowly"
)
def test_read_only_install(here, ordinary, read_only_install, tmp_path, tried):
    site, rights = read_only_install, without_rights()
    probe = f"open({str(site / 'rbinfer' / 'written')!r}, 'w')"
    assert b"PermissionError" in rbinfer(prefix=rights, program=("-c", probe)).stderr
    nowhere = {
        "PYTHONPATH": str(site),
        "HOME": str(site / "none"),
        "XDG_CACHE_HOME": None,
        "XDG_CONFIG_HOME": None,
        "NUMBA_CACHE_DIR": None,
    }
    place = rbinfer(program=("-c", "import rbinfer; print(rbinfer.__file__)"), env=nowhere, cwd=tmp_path)
    assert str(site) in place.stdout.decode()
    done = rbinfer(*here.arguments(), env=nowhere, prefix=rights, cwd=tmp_path)
    said = done.stderr.decode()
    assert done.returncode == 0, said
    assert len(re.findall("^.*NUMBA_CACHE_DIR.*$", said, re.M)) == 1, said
    assert here.scores().tobytes() == ordinary.tobytes()
    tried()
    if not FULL:
        return  # it compiles once more
    # As it says: with a place for them, they are cached, and there is nothing to say.
    cached = tmp_path / "kernels"
    done = rbinfer(
        *here.arguments(), env=nowhere | {"NUMBA_CACHE_DIR": str(cached)}, prefix=rights, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert b"NUMBA_CACHE_DIR" not in done.stderr
    assert list(cached.rglob("*.nbi"))
    assert here.scores().tobytes() == ordinary.tobytes()
    tried()


@pytest.mark.promise(
    "Environments", "No home that could be told, as of a user without a name: works, the same scores"
)
def test_no_home(here, ordinary, tried):
    nobody = "import pwd, sys\ndef unknown(uid): raise KeyError(uid)\npwd.getpwuid = unknown\n"
    code = nobody + "from rbinfer.model.registry import list_models, resolve\n"
    code += "print(len(list_models()), resolve('default').name)"
    done = rbinfer(program=("-c", code), env={"HOME": None, "RBINFER_MODELS": None})
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [b"2", b"model.onnx"]
    code = nobody + "from rbinfer.cli import main; sys.exit(main())"
    done = rbinfer(*here.arguments(), program=("-c", code), env={"HOME": None, "RBINFER_MODELS": None})
    assert done.returncode == 0, done.stderr
    assert here.scores().tobytes() == ordinary.tobytes()
    tried(2)


@pytest.mark.promise(
    "Environments", "Nothing is written to the home or said by ONNX Runtime's telemetry"
)
def test_no_telemetry(here, tmp_path, tried):
    (home := tmp_path / "home").mkdir()
    (scratch := tmp_path / "tmp").mkdir()
    done = rbinfer(
        *here.arguments(), env={"HOME": str(home), "TMPDIR": str(scratch), "XDG_CACHE_HOME": None}
    )
    assert done.returncode == 0, done.stderr
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert not [name for name in left if "onnxruntime" in name.lower() or name.endswith(".ses")]
    tried()


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no CPU sets on this system")
@pytest.mark.promise("Environments", "One CPU of a CPU set: one worker, the same scores bit for bit")
def test_one_cpu(here, ordinary, tried):
    code = "import sys; from rbinfer._util.machine import usable_cpus; assert usable_cpus() == 1\n"
    code += "from rbinfer.cli import main; sys.exit(main())"
    cpus = sorted(os.sched_getaffinity(0))
    for cpu in cpus[: times(1, len(cpus))]:
        pin = f"import os; os.sched_setaffinity(0, {{{cpu}}})\n"
        done = rbinfer(*here.arguments(), program=("-c", pin + code))
        assert done.returncode == 0, done.stderr
        assert here.scores().tobytes() == ordinary.tobytes()
        tried()


@pytest.mark.promise(
    "Environments", "Kernels without AVX-512, and without AVX: the same scores bit for bit"
)
def test_other_vector_instructions(here, ordinary, kernels_as_library, tried):
    # ONNX Runtime asks the CPU itself, and no variable of its own or of glibc keeps it from AVX-512:
    # its part is shown by the golden pairs, which were made by another library, and not here.
    for level in (each for each in LEVELS if each < kernels_as_library.level):
        code = (
            "import sys; from pathlib import Path; from rbinfer.kernels import library\n"
            f"found = library.Found(library.opened(Path({str(kernels_as_library.path)!r}), {level}))\n"
            "library.find = lambda: found\n"
            "from rbinfer.cli import main; sys.exit(main())"
        )
        done = rbinfer(*here.arguments(), program=("-c", code))
        assert done.returncode == 0, done.stderr
        assert here.scores().tobytes() == ordinary.tobytes()
        tried(len(ordinary))


@pytest.mark.parametrize(
    "env",
    [
        {"LC_ALL": "C", "LANG": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"},
        {"LC_ALL": None, "LANG": None, "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
    ],
    ids=["C", "C-ascii", "POSIX-ascii-stdio", "unset-ascii-stdio"],
)
@pytest.mark.promise(
    "Environments", "LANG=C with names that ASCII has not: works, and says errors in a sentence"
)
def test_locales(here, ordinary, tmp_path, tried, env):
    odd = Scene(tmp_path / "Größe ☆ 星")
    odd.folder.mkdir()
    shutil.copy(here.image, odd.image)
    shutil.copy(here.catalogue, odd.catalogue)
    log = odd.folder / "Prüfung.log"
    for arguments, wanted in (
        ([*odd.arguments("Ergebnis ä.ecsv"), "-v", "--log-file", str(log)], 0),
        (["classify", odd.image, "--json", "--stamp"], 0),
        (["classify", odd.image, "--catalog", odd.catalogue], 0),
        (["classify", odd.folder / "fehlt, natürlich.fits"], 1),
        (["models", "info", odd.folder / "kein Modell ß.onnx"], 1),
    ):
        done = rbinfer(*arguments, env=env)
        said = done.stdout + done.stderr
        assert done.returncode == wanted, said
        assert b"Unicode" not in said
        assert b"Traceback" not in said
        tried()
    assert odd.scores("Ergebnis ä.ecsv").tobytes() == ordinary.tobytes()
    assert "frame.fits" in log.read_text(encoding="utf-8")


@pytest.mark.parametrize("closed", ["", "<&-", "<&- >&-", "<&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.skipif(os.name != "posix", reason="file descriptors of a shell")
@pytest.mark.promise(
    "Environments", "No terminal, and stdin, stdout or stderr closed: works, the same scores"
)
def test_no_terminal(here, ordinary, tried, closed):
    (here.folder / "scores.ecsv").unlink(missing_ok=True)
    done = rbinfer(
        *here.arguments(),
        prefix=["sh", "-c", f'exec "$@" {closed}', "sh"],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    assert b"\x1b" not in done.stderr + done.stdout
    assert b"Traceback" not in done.stderr
    assert here.scores().tobytes() == ordinary.tobytes()
    tried()


# ---------------------------------------------------------------------------------- other versions


def dependencies(oldest: bool, extra: str | None = None) -> list[str]:
    """Requirements of the base install or an extra: the least that is declared, or what is newest."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = project["optional-dependencies"][extra] if extra else project["dependencies"]
    declared = [each for each in declared if ";" not in each]  # those for other platforms
    assert all(re.fullmatch(r"[a-z-]+>=[0-9.]+", each) for each in declared), declared
    return [each.replace(">=", "==") if oldest else each for each in declared]


def interpreter(wanted: str) -> Path:
    """Find a Python of a version, on the path or of pyenv; skips where there is none."""
    if sys.version_info[:2] == tuple(map(int, wanted.split("."))):
        return Path(sys.executable)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [shutil.which(f"python{wanted}"), *sorted(pyenv.glob(f"{wanted}.*/bin/python"))]
    for each in filter(None, found):
        asked = [str(each), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        # A shim of pyenv stands for versions that it will not start.
        if subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() == wanted:
            return Path(each)
    pytest.skip(f"no Python {wanted} on this machine")


@pytest.mark.skipif(not FULL, reason="installs from the registry, for minutes")
@pytest.mark.parametrize(
    ("python", "oldest"),
    [
        pytest.param(
            python,
            oldest,
            marks=pytest.mark.promise(
                "Environments",
                f"Python {python}, {'oldest' if oldest else 'newest'} dependencies: light tests pass",
            ),
        )
        for python, oldest in (("3.11", True), ("3.11", False), ("3.12", False), ("3.13", False))
    ],
)
def test_versions(tmp_path, tried, request, python, oldest):
    place = tmp_path / "venv"
    subprocess.run([interpreter(python), "-m", "venv", place], check=True, capture_output=True)
    there = str(place / "bin" / "python")
    extras = [*dependencies(oldest, "jit"), *dependencies(oldest, "parquet")]
    wanted = [*dependencies(oldest), *extras, *_TEST_TOOLS]
    pip = [there, "-m", "pip", "install", "-q", "--only-binary", ":all:", *wanted]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    env = {
        name: value for name, value in os.environ.items() if not name.startswith(("ROBUST", "PYTHON"))
    } | {
        "NUMBA_CACHE_DIR": str(tmp_path / "kernels"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(ROOT),
    }
    files = [f"tests/infer/{name}" for name in _LIGHT_TESTS]
    done = subprocess.run(
        [there, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    passed = int(re.search(r"(\d+) passed", done.stdout)[1])
    assert passed > 200
    tried(passed)
    listed = subprocess.run(
        [there, "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True, check=True
    )
    have = dict(line.split("==") for line in listed.stdout.split() if "==" in line)
    names = [re.split("[>=]", each)[0] for each in dependencies(oldest)]
    request.node.found = ", ".join(f"{name} {have[name]}" for name in names)


@pytest.mark.promise("Environments", "Dependencies of this install: the model's golden pairs are met")
def test_this_install(tried, request):
    done = rbinfer("models", "verify", "default")
    assert done.returncode == 0, done.stderr
    tried()
    names = [re.split("[>=]", each)[0] for each in dependencies(oldest=False)]
    request.node.found = f"Python {platform.python_version()}, " + ", ".join(
        f"{name} {version(name)}" for name in names
    )
