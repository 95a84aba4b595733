"""Memory habits of the C library that cost a training loop on the CPU more than its arithmetic."""

from __future__ import annotations

import ctypes
import functools
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h of glibc


@functools.cache
def keep_freed_memory() -> bool:
    """Ask glibc to keep freed blocks instead of handing each back to the kernel; return whether it agreed.

    A batch's tensors are megabytes each: by default glibc maps and unmaps every one, and the kernel clears every page
    anew, which on two cores took 8 ms of a 0.3 ms operation. The price is that the process's memory does not shrink.
    Other C libraries (macOS, Windows, musl) are left as they are.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # not glibc
        return False
    return all(
        mallopt(*pair) for pair in ((M_MMAP_THRESHOLD, 1 << 30), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 1 << 28))
    )
