"""What this machine is, and the memory that this process takes; the standard library alone."""

import os
import platform
import sys
from pathlib import Path

#: Vector instructions of x86 by their flag, the widest first; scoring is faster the wider they are.
_VECTORS = (("avx512f", "AVX-512"), ("avx2", "AVX2"))

#: Parameters of mallopt(3), from glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


def processor() -> str:
    """Return the name of the CPU and its vectors, or what the system has for one.

    Virtual machines of one name may offer different vectors.
    """
    try:
        lines = [line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines()]
    except OSError:
        lines = []
    about = {line[0].strip(): line[1].strip() for line in lines if len(line) == 2}
    if "model name" in about:
        flags = about.get("flags", "").split()
        wide = next((f" with {name}" for flag, name in _VECTORS if flag in flags), "")
        return about["model name"] + wide
    if sys.platform == "darwin":
        import subprocess

        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        try:
            return subprocess.check_output(command, text=True).strip()
        except (OSError, subprocess.CalledProcessError):
            pass
    return platform.processor() or platform.machine() or "unknown"


def usable_cpus() -> int:
    """Count the CPUs that this process may use (cpusets and affinity included)."""
    if hasattr(os, "sched_getaffinity"):
        return max(len(os.sched_getaffinity(0)), 1)
    return os.cpu_count() or 1


def keep_freed_memory(most: int, ahead: int | None = None) -> bool:
    """Let the C library keep freed memory for what is asked for next.

    glibc returns large arrays to the system when they are freed. The next image, or the next step of a
    fit, then waits for the system to clear as many pages again; on virtual machines that takes long.

    Parameters
    ----------
    most : int
        Bytes that are kept at the end of what the process has; below 2**31.
    ahead : int, optional
        Bytes that are asked of the system beyond what is needed, so that it is asked more rarely.

    Returns
    -------
    bool
        Whether the C library is glibc and does so from now on, in this process. Where the user has set
        glibc's ``MALLOC_`` variables, these stay in force.
    """
    if platform.libc_ver()[0] != "glibc" or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    import ctypes

    mallopt = ctypes.CDLL(None).mallopt
    settings = [(_MMAP_MAX, 0), (_TRIM_THRESHOLD, most)]
    if ahead is not None:
        settings.append((_TOP_PAD, ahead))
    return all([mallopt(parameter, value) == 1 for parameter, value in settings])


def resident_bytes() -> int:
    """Return the memory that this process has now; where that is not told, the most it ever had."""
    return _status("VmRSS") or _most_ever()


def peak_bytes() -> int:
    """Return the most memory that this process ever had, or had since `reset_peak`."""
    # A child inherits what getrusage says of its parent; this one starts with the program.
    return _status("VmHWM") or _most_ever()


def file_bytes() -> int:
    """Return how much of this process's memory are pages of files, libraries mostly; 0 if untold.

    The system shares these among processes, and drops them when memory is short.
    """
    return _status("RssFile")


def reset_peak() -> bool:
    """Let `peak_bytes` count from now on; returns whether the system does that."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _status(key: str) -> int:
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return 1024 * int(line.split()[1])
    except OSError:
        pass
    return 0


def _most_ever() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most
