"""Old places of modules work, and say where to look; what is public is all that is shown."""

import importlib
import subprocess
import sys

import pytest

import rbinfer

MOVED = {
    "batch": ("run_batch", "rbinfer.runs.batch"),
    "tables": ("read_catalog", "rbinfer.io.tables"),
    "maps": ("read_map", "rbinfer.io.maps"),
    "worklist": ("stem_of", "rbinfer.runs.plan"),
}


@pytest.mark.parametrize("old", MOVED)
def test_old_places_work_and_name_the_new_one(old):
    name, new = MOVED[old]
    sys.modules.pop(f"rbinfer.{old}", None)
    with pytest.warns(DeprecationWarning, match=rf"rbinfer\.{old} has moved to .*{new}") as told:
        module = importlib.import_module(f"rbinfer.{old}")
    assert getattr(module, name) is getattr(importlib.import_module(new), name)
    assert len(told) == 1


def test_the_warning_is_shown_where_the_old_name_stands(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text("import os\nfrom rbinfer.batch import run_batch\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert (
        f"{script}:2: DeprecationWarning: rbinfer.batch has moved to rbinfer.runs.batch" in done.stderr
    )


def test_public_names_need_no_warning_and_are_all_that_is_shown():
    code = (
        "import warnings; warnings.simplefilter('error', DeprecationWarning)\n"
        "import rbinfer\n"
        "for name in rbinfer.__all__: getattr(rbinfer, name)\n"
        "print(dir(rbinfer) == sorted(rbinfer.__all__))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
    assert "Classifier" in dir(rbinfer)
    assert "importlib" not in dir(rbinfer)
