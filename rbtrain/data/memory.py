"""What a training process does with memory that it frees."""

import ctypes
import logging
import platform

log = logging.getLogger(__name__)

# Parameters of mallopt(3), from glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_MOST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let the C library keep freed memory for what is asked for next.

    glibc returns large buffers to the system when they are freed, such as a network's feature maps. Each
    step of a fit then waits for the system to clear as many pages again; on virtual machines that takes
    longer than the computation.

    Returns
    -------
    bool
        Whether the C library is glibc and does so from now on, in this process.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _MOST), (_TOP_PAD, 2**28))
    done = all([mallopt(parameter, value) == 1 for parameter, value in settings])
    log.debug("freed memory is %skept", "" if done else "not ")
    return done
