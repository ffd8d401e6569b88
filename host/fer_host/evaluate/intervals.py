"""What n observations can tell of a share: Wilson's interval."""

from __future__ import annotations

import math

_Z = 1.959964  # of 95%


def wilson(hits: int, n: int) -> tuple[float, float]:
    """The 95% interval of a share from ``hits`` of ``n`` (Wilson 1927); 0 to 1 where there is nothing."""
    if n == 0:
        return 0.0, 1.0
    share, z2 = hits / n, _Z**2
    center = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, center - half), min(1.0, center + half)
