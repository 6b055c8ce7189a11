"""What control groups (of containers and batch systems) leave a process; nothing but on Linux."""

from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/")


def cpu_quota(root: Path = _ROOT) -> float | None:
    """Return how many CPUs' time this process may use; None without a limit.

    Parameters
    ----------
    root : Path
        Where ``proc`` and ``sys`` lie.

    Returns
    -------
    float or None
        Such as 1.5. Affinity and cpusets are another matter: they say which CPUs.
    """
    found = []
    for folder in _groups("cpu", root):
        if (both := _text(folder / "cpu.max").split())[1:]:
            quota, period = both
        else:
            quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal():  # no limit is "max" or -1
            found.append(int(quota) / int(period))
    return min(found, default=None)


def memory_limit(root: Path = _ROOT) -> int | None:
    """Return how many bytes of memory this process may use; None without a limit.

    Parameters
    ----------
    root : Path
        Where ``proc`` and ``sys`` lie.

    Returns
    -------
    int or None
    """
    found = []
    for folder in _groups("memory", root):
        limit = _text(folder / "memory.max") or _text(folder / "memory.limit_in_bytes")
        if limit.isdecimal():
            found.append(int(limit))
    return min(found, default=None)


def memory_free(root: Path = _ROOT) -> int | None:
    """Return how many bytes of memory the machine has to give; None where that is not told.

    Parameters
    ----------
    root : Path
        Where ``proc`` lies.

    Returns
    -------
    int or None
    """
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    return None


def _groups(controller: str, root: Path) -> Iterator[Path]:
    """Yield the folders of the groups that this process is in, of both versions of cgroups."""
    mount = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = mount / controller if controllers else mount
        # In a container the path may be that on the host: what is not there is passed over.
        group = top / path.lstrip("/")
        yield group
        while group != top:
            group = group.parent
            yield group


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
