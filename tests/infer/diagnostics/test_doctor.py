"""What `rbinfer doctor` finds, on installations that are ill in one way each."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

import rbinfer
from rbinfer._util.limits import cpu_quota, memory_limit
from rbinfer._util.machine import usable_cpus
from rbinfer.cli import main
from rbinfer.diagnostics.doctor import Finding, check_memory, check_python, judge_cpus, judge_device
from rbinfer.model.registry import list_models, resolve
from rbinfer.model.spec import METADATA_KEY

CUDA = ["CUDAExecutionProvider", "CPUExecutionProvider"]


def doctor(code=0, **environment):
    """Run the command in a process of its own; returns what it found, by name."""
    done = subprocess.run(
        [sys.executable, "-m", "rbinfer", "doctor", "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    result = json.loads(done.stdout)
    assert done.returncode == code, done.stdout
    assert result["ok"] is (code == 0)
    assert all((row["remedy"] is None) is (row["level"] == "ok") for row in result["findings"])
    return {row["name"]: Finding(**row) for row in result["findings"]}


def install(folder, name, version):
    """Make what pip leaves of a distribution; a folder for PYTHONPATH."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return str(folder)


def test_sound_installation():
    found = doctor()
    assert found["python"].found.startswith(".".join(map(str, sys.version_info[:3])))
    assert found["rbinfer"].found == f"{rbinfer.__version__} at {Path(rbinfer.__file__).parent}"
    for name in ("numpy", "astropy", "numba", "onnxruntime", "sep"):
        assert found[name] == Finding(name, "ok", importlib.metadata.version(name))
    for entry in list_models():
        assert re.match(r"\d+ golden pairs, ", found[f"model {entry.name}"].found)
        assert found[f"model {entry.name}"].found.endswith(str(entry.path))
    assert "asked for auto, got " in found["device"].found
    assert f"{usable_cpus()} of {os.cpu_count()} usable" in found["cpus"].found
    rate = re.match(r"([\d,]+) objects/s on (\d+) thread", found["speed"].found)
    assert int(rate[1].replace(",", "")) > 500
    assert int(rate[2]) == usable_cpus()
    assert re.search(r"\d MB taken by this process", found["memory"].found)


def test_table_has_a_line_for_each_finding(capsys):
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    columns = {re.split(r"  +", line)[1] for line in lines[:-1] if not line.startswith(" ")}
    assert {
        "python",
        "numpy",
        "device",
        "cpus",
        "kernels",
        "model default",
        "memory",
        "speed",
    } <= columns
    assert re.fullmatch(r"0 problems, \d+ warnings?", lines[-1])


def test_package_that_cannot_be_imported(tmp_path):
    (tmp_path / "sep.py").write_text("raise ImportError('libsep.so:\\n wrong ELF class')")
    found = doctor(1, PYTHONPATH=str(tmp_path))
    assert found["sep"].level == "problem"
    assert "cannot be imported: libsep.so: wrong ELF class" in found["sep"].found
    assert found["sep"].remedy.startswith("pip install --force-reinstall 'sep>=")
    # Scoring does without it: only detection needs it.
    assert found["numpy"].level == found["model default"].level == found["speed"].level == "ok"


@pytest.mark.parametrize("name", ["numpy", "packaging", "onnxruntime", "numba", "astropy"])
def test_no_broken_package_breaks_the_doctor(tmp_path, name):
    (tmp_path / f"{name}.py").write_text("raise RuntimeError('broken')")
    found = doctor(1, PYTHONPATH=str(tmp_path))
    assert found[name].level == "problem"
    assert "an error that rbinfer does not foresee: broken" in found[name].found
    assert name in found[name].remedy
    assert {"python", "memory", "speed"} <= set(found)


def test_package_that_is_too_old(tmp_path):
    found = doctor(1, PYTHONPATH=install(tmp_path, "sep", "1.0"))
    wanted = re.match(r"1\.0; rbinfer needs (sep>=[\d.]+)$", found["sep"].found)[1]
    assert found["sep"] == Finding(
        "sep", "problem", f"1.0; rbinfer needs {wanted}", f"pip install '{wanted}'"
    )


def test_both_wheels_of_onnxruntime(tmp_path):
    folder = install(tmp_path, "onnxruntime-gpu", "1.2.3")
    if not any(d.name == "onnxruntime" for d in importlib.metadata.distributions()):
        install(tmp_path, "onnxruntime", "1.2.3")
    wheels = doctor(1, PYTHONPATH=folder)["onnxruntime wheels"]
    assert wheels.level == "problem"
    assert "onnxruntime-gpu 1.2.3 are both installed" in wheels.found
    assert wheels.remedy.startswith("pip uninstall -y onnxruntime onnxruntime-gpu; ")


def test_models_that_are_damaged(tmp_path):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(resolve(None))
    (prop,) = [p for p in model.metadata_props if p.key == METADATA_KEY]
    spec = json.loads(prop.value)
    spec["golden"]["scores"] = [1 - score for score in spec["golden"]["scores"]]
    prop.value = json.dumps(spec)
    # A name that a terminal without UTF-8 cannot show.
    folder = tmp_path / "modèles"
    folder.mkdir()
    onnx.save(model, folder / "other.onnx")
    (folder / "cut.onnx").write_bytes(resolve(None).read_bytes()[:5000])
    found = doctor(1, RBINFER_MODELS=str(folder))
    assert found["model default"].level == "ok"
    assert found["model other"].level == found["model cut"].level == "problem"
    assert "cut.onnx is not a model" in found["model cut"].found
    assert found["model other"].remedy.endswith(f"or remove {folder / 'other.onnx'}")
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "rbinfer", "doctor"],
        capture_output=True,
        check=False,
        env={**os.environ, **ascii_only, "RBINFER_MODELS": str(folder)},
    )
    assert done.returncode == 1, done.stderr
    text = done.stdout.decode("ascii")
    assert "PROBLEM  model other" in text
    assert "\n2 problems, " in text


def test_python_that_is_too_old():
    least = SpecifierSet(importlib.metadata.metadata("rbinfer")["Requires-Python"])
    for version in ((3, 10, 9), (3, 11, 0), (3, 13, 1)):
        finding = check_python(version)
        assert (finding.level == "ok") is least.contains(".".join(map(str, version)))


def test_cuda_that_is_offered_but_not_had():
    assert judge_device(["CPUExecutionProvider"], "cpu").level == "ok"
    assert judge_device(CUDA, "cuda").level == "ok"
    finding = judge_device(CUDA, "cpu")
    assert finding.level == "warning"
    assert "got cpu; ONNX Runtime offers CUDAExecutionProvider" in finding.found
    assert "`device='cpu'`" in finding.remedy


@pytest.mark.parametrize(
    ("there", "usable", "quota", "variables", "threads"),
    [
        (8, 8, None, {}, None),
        (64, 4, 4.0, {"OMP_NUM_THREADS": "4"}, None),
        (8, 8, 2.5, {}, 2),
        (8, 8, 0.5, {}, 1),
        (8, 8, None, {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "4"}, 1),
        (8, 2, 8.0, {"OMP_NUM_THREADS": "many"}, None),
    ],
)
def test_limits_on_cpus(there, usable, quota, variables, threads):
    finding = judge_cpus(there, usable, quota, variables)
    assert f"{usable} of {there} usable" in finding.found
    assert all(f"{name}={value}" in finding.found for name, value in variables.items())
    if threads is None:
        assert (finding.level, finding.remedy) == ("ok", None)
    else:
        assert finding.level == "warning"
        assert re.search(rf"`threads={threads}`", finding.remedy)


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


GROUP = "sys/fs/cgroup"


@pytest.mark.parametrize(
    ("files", "quota", "limit"),
    [
        ({}, None, None),
        # Version 2: a group's own limit, and that of the group above.
        (
            {
                "proc/self/cgroup": "0::/jobs/one\n",
                f"{GROUP}/jobs/one/cpu.max": "max 100000\n",
                f"{GROUP}/jobs/cpu.max": "150000 100000\n",
                f"{GROUP}/jobs/one/memory.max": "max\n",
                f"{GROUP}/jobs/memory.max": "2000000000\n",
            },
            1.5,
            2_000_000_000,
        ),
        # Version 1, in a container that does not see the path on its host.
        (
            {
                "proc/self/cgroup": "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n2:pids:/x\n",
                f"{GROUP}/cpu/cpu.cfs_quota_us": "50000\n",
                f"{GROUP}/cpu/cpu.cfs_period_us": "100000\n",
                f"{GROUP}/memory/memory.limit_in_bytes": "300000000\n",
            },
            0.5,
            300_000_000,
        ),
        (
            {
                "proc/self/cgroup": "5:cpu,cpuacct:/\n",
                f"{GROUP}/cpu/cpu.cfs_quota_us": "-1\n",
                f"{GROUP}/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
            None,
        ),
    ],
)
def test_limits_of_control_groups(tmp_path, files, quota, limit):
    write(tmp_path, files)
    assert cpu_quota(tmp_path) == quota
    assert memory_limit(tmp_path) == limit


def test_little_memory(tmp_path):
    write(tmp_path, {"proc/meminfo": "MemTotal: 9000000 kB\nMemAvailable:   100000 kB\n"})
    (finding,) = check_memory(tmp_path)
    assert finding.level == "warning"
    assert finding.found.startswith("102 MB free, ")
    write(tmp_path, {"proc/meminfo": "MemAvailable: 8000000 kB\n", "proc/self/cgroup": "0::/\n"})
    assert check_memory(tmp_path)[0].level == "ok"
    write(tmp_path, {f"{GROUP}/memory.max": "200000000"})
    (finding,) = check_memory(tmp_path)
    assert finding.level == "warning"
    assert "200 MB allowed by the control group" in finding.found


def test_kernels_that_have_no_place_on_disk():
    # The only locator of caches that is left is for packages in a zip file.
    kernels = doctor(NUMBA_CACHE_LOCATOR_CLASSES="ZipCacheLocator", NUMBA_OPT="0")["kernels"]
    assert kernels.level == "warning"
    assert "by every process" in kernels.found
    assert "NUMBA_CACHE_DIR" in kernels.remedy


def test_place_for_kernels_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    asked = tmp_path / "file" / "cache"
    kernels = doctor(NUMBA_CACHE_DIR=str(asked), NUMBA_OPT="0")["kernels"]
    assert kernels.level == "warning"
    assert f"not in NUMBA_CACHE_DIR={asked}" in kernels.found


def test_kernels_are_compiled_once(tmp_path):
    place = {"NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_OPT": "1"}
    first, second = (doctor(**place)["kernels"] for _ in range(2))
    assert first.found.startswith("compiled now, in ")
    assert second.found.startswith("ready after ")
    assert f"kept in {tmp_path}" in second.found


def test_compiling_that_is_switched_off(tmp_path):
    found = doctor(1, NUMBA_DISABLE_JIT="1", XDG_CACHE_HOME=str(tmp_path))
    assert (found["kernels"].level, found["kernels"].remedy) == ("problem", "unset it")
    assert found["speed"].remedy == "see to kernels first"


def test_package_that_was_not_installed(tmp_path):
    """As from a folder on PYTHONPATH: what else is installed is there, rbinfer's metadata are not."""
    for folder in filter(os.path.isdir, sys.path):
        for entry in Path(folder).glob("*"):
            if not entry.name.startswith("rbinfer") and not (tmp_path / entry.name).exists():
                (tmp_path / entry.name).symlink_to(entry)
    code = (
        f"import sys; sys.path[:] = [{str(Path(rbinfer.__file__).parents[1])!r}, {str(tmp_path)!r}]; "
        "import json; from rbinfer.diagnostics.doctor import check_packages; print(check_packages()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert "level='warning'" in done.stdout
    assert "not installed" in done.stdout
