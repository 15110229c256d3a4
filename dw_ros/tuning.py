"""What a process of nodes asks of Python, OpenCV and the C library, for the sake of latency."""

from __future__ import annotations

import ctypes
import sys

import cv2

# A worker that comes back from the 2D network must not wait 5 ms (CPython's default) for its turn.
SWITCH_INTERVAL_S = 0.0005
# Of glibc's malloc.h, and what they are set to: blocks of up to 32 MB come from the heap, and up to 64 MB of
# it that are free stay.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES = {M_MMAP_THRESHOLD: 32 << 20, M_TRIM_THRESHOLD: 64 << 20}


def tune_process() -> None:
    """Call once, before the nodes are made."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    cv2.setNumThreads(1)  # for the same reason as in dw_ros/__init__.py
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Memory of maps and messages is used again instead of given back to the system and faulted in anew, page
    by page, which is most of the time that a copy of 1 MB takes. Nothing happens without glibc."""
    set_option = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if set_option is not None:
        for option, size in KEPT_BYTES.items():
            set_option(option, size)
