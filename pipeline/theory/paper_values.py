"""The paper's own simulations (sections D.2.2, D.2.3), by the guidance they stand for."""

from __future__ import annotations

from pipeline.theory.recursion import Trait
from pipeline.theory.truncation import Selection

MU_0, SIGMA_G0, SIGMA_E, SIGMA_M = 0.027, 0.056, 0.25, 0.1

PAPER_TRAIT = Trait(MU_0, SIGMA_G0, SIGMA_E)

PAPER_SELECTION = {
    "high (CFG 7.5)": Selection(0.95, 0.0002),
    "medium (CFG 2.5)": Selection(0.5, 0.09),
    "low (CFG 1.0)": Selection(0.025, 0.675),
}
"""Corrected: D.2.2 prints these three "for CFG 7.5, 2.5 and 1.0" in the opposite order. Section 4.2 says that 7.5 keeps the
upper 5 % and 1.0 the lower 30 %, which is (0.95, 0.0002) and (0.025, 0.675)."""

PAPER_REDIFINE_TRAIT = Trait(MU_0, SIGMA_G0, SIGMA_E, SIGMA_M)

PAPER_REDIFINE_SELECTION = {
    "ReDiFine, exp(-d / 0.1)": Selection(0.95, 0.0002, rate=10.0),
    "ReDiFine, exp(-0.1 d)": Selection(0.95, 0.0002, rate=0.1),
}
"""CFG 7.5's zone with soft edges. D.2.3 writes exp(-alpha d) with alpha = 0.1 and leaves the unit of d open: in the trait's own
unit, at d = sigma_E, that keeps 98 % of what lies outside, next to no selection. The other reading has 0.1 as the length over
which the tail falls. Both are shown."""
