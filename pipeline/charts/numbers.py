"""Numbers and counts as text for a reader."""

from __future__ import annotations

import math

from pipeline.charts.statistics import SeedMean

_SMALL = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def short(value: float | None) -> str:
    """Format with three significant digits without an exponent for everyday sizes: 339, 48.2, 0.0312; a dash for None."""
    if value is None:
        return "–"
    if value != 0 and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.2e}".replace("-", "−")
    digits = 2 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}".replace("-", "−")


def counted(count: int, noun: str) -> str:
    """Spell a count with its noun: 1, "prompt" -> "one prompt"; 13 -> "13 prompts", 1008 -> "1,008 prompts"."""
    number = _SMALL[count] if count < len(_SMALL) else f"{count:,}"
    return f"{number} {noun}" + ("" if count == 1 else "s")


def plus_minus(value: SeedMean | None) -> str:
    """Format as "24.4 ± 1.2", with as many decimals as the mean; "24.4" for one seed, a dash for nothing."""
    if value is None:
        return "–"
    mean = short(value.mean)
    if value.half is None:
        return mean
    decimals = len(mean.partition(".")[2])
    return f"{mean} ± {short(value.half) if 'e' in mean else f'{value.half:,.{decimals}f}'}"
