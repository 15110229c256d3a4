"""Values of the last second: how many, and their percentiles."""

from __future__ import annotations

from collections import deque

import numpy as np

from dw_core.types import NS, FloatArray

# A second of 200 Hz, five times over.
MAX_SAMPLES = 1000


class Recent:
    """Samples of the last `span_ns`. One thread may add while another one reads."""

    def __init__(self, span_ns: int = NS) -> None:
        self._span_ns = span_ns
        self._samples: deque[tuple[int, float]] = deque(maxlen=MAX_SAMPLES)

    def add(self, now_ns: int, value: float) -> None:
        """Take a value."""
        self._samples.append((now_ns, value))

    def values(self, now_ns: int) -> FloatArray:
        """The values (N,) that are no older than the span; a clock that was set back forgets them."""
        return np.array([value for at, value in list(self._samples) if 0 <= now_ns - at <= self._span_ns])

    def percentiles_ms(self, name: str, now_ns: int) -> dict[str, str]:
        """Median and 95th percentile of values in ns, in ms, as `<name>_p50_ms` and `<name>_p95_ms`; nothing
        while there are no values."""
        values = self.values(now_ns)
        if not len(values):
            return {}
        return {f"{name}_p{p}_ms": f"{np.percentile(values, p) / 1e6:.1f}" for p in (50, 95)}
