"""Puts the library of kernels into a wheel; see docs/decisions/first-run.md.

``RBINFER_LEVELS`` names the levels of x86-64 that it is for: ``2,3,4`` for a wheel that others install,
which gets a manylinux tag; ``none`` for a wheel without a library, which any platform can use, with
Numba. Without the variable the library is for the machine that builds it.
"""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: Of what a wheel without a library needs; those that pyproject.toml names for other platforms. Earlier
#: ones lack a pass of LLVM that the build runs.
_JIT = ["llvmlite>=0.45", "numba>=0.62"]
_BUILD = [*_JIT, "numpy>=1.26"]


class KernelsHook(BuildHookInterface):
    """Compiles the kernels when a wheel is built; an editable install compiles nothing."""

    def dependencies(self) -> list[str]:
        """Return what the build needs beside Hatchling."""
        build = self._module()
        if not self._is_wanted(build):
            return []
        return _BUILD if build.find_compiler() is not None else [*_BUILD, "ziglang>=0.13"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the library, or say why there is none and have Numba installed in its place."""
        build = self._module()
        if version != "editable" and self._is_wanted(build):
            levels = os.environ.get("RBINFER_LEVELS")
            chosen = [int(level) for level in levels.split(",")] if levels else None
            self._scratch = TemporaryDirectory()
            try:
                path = build.build(Path(self._scratch.name), chosen)
            except build.BuildError as error:
                if chosen is not None:
                    raise
                self.app.display_warning(f"the wheel has no library of kernels: {error}")
            else:
                build_data["force_include"][str(path)] = f"rbinfer/kernels/{path.name}"
                build_data["pure_python"] = False
                # It links nothing, so any C library will do; an index refuses what is for one machine.
                tag = "manylinux_2_17" if chosen is not None else "linux"
                build_data["tag"] = f"py3-none-{tag}_x86_64"
                return
        build_data["dependencies"] += _JIT

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was made."""
        if hasattr(self, "_scratch"):
            self._scratch.cleanup()

    def _module(self) -> Any:
        if self.root not in sys.path:
            sys.path.insert(0, self.root)
        from rbinfer.kernels import build

        return build

    def _is_wanted(self, build: Any) -> bool:
        return build.is_supported() and os.environ.get("RBINFER_LEVELS") != "none"
