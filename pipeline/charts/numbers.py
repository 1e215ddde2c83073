"""Numbers as a reader wants them."""

from __future__ import annotations

import math


def short(value: float | None) -> str:
    """Three significant digits without an exponent for everyday sizes: 339, 48.2, 0.0312; a dash for None."""
    if value is None:
        return "–"
    if value != 0 and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.2e}".replace("-", "−")
    digits = 2 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}".replace("-", "−")
