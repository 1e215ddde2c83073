"""The chains of a sweep as a table, printed once or live, and why chains failed."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pipeline.run.status.text import duration
from pipeline.studies.sweep.chain_status import ChainStatus

_EVERY_SECONDS = 5.0


def watch(read: Callable[[], list[ChainStatus]], title: str, live: bool) -> None:
    """Print the table; where `live`, update it until every chain has ended, or Ctrl-C."""
    console = Console()
    if not live:
        console.print(render(read(), title))
        return
    with Live(render(statuses := read(), title), console=console, auto_refresh=False) as shown:
        while any(one.state in ("running", "queued") for one in statuses):
            try:
                time.sleep(_EVERY_SECONDS)
            except KeyboardInterrupt:
                return
            statuses = read()
            shown.update(render(statuses, title), refresh=True)


def render(statuses: list[ChainStatus], title: str) -> Group:
    """Draw the table, and below it the last lines of the chains that failed."""
    return Group(table(statuses, title), *(Text(line) for line in failures(statuses)))


def table(statuses: list[ChainStatus], title: str) -> Table:
    drawn = Table("chain", "state", "k", "stage", "left", "FID_1", "FID_k", title=escape(title))
    for one in statuses:
        k = f"{one.k}/{one.iterations}" if one.k or one.state in ("running", "done") else ""
        left = "" if one.seconds_left is None else duration(one.seconds_left)
        drawn.add_row(
            one.name, one.state, k, escape(one.stage), left, _number(one.fid_of(1)), _number(one.fid_of(one.k))
        )  # fmt: skip
    return drawn


def failures(statuses: list[ChainStatus]) -> list[str]:
    """Return, for each chain that failed or stopped, its last lines, and the command that runs it again."""
    lines = []
    for one in statuses:
        if one.rerun:
            lines += ["", f"{one.name} {one.state}" + (":" if one.detail else "")]
            lines += [f"    {line}" for line in one.detail.splitlines()]
            lines.append(f"    run it again: {one.rerun}")
    return lines


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
