"""The table of docs/measures.md, from what each measure says of itself."""

from __future__ import annotations

from pathlib import Path

from pipeline.methods.measures import MEASURES

PAGE = Path("docs/measures.md")
_START, _END = "<!-- by `python -m docs.writers` -->\n", "<!-- end -->\n"


def table() -> str:
    """Return a row for each measure that metrics/k.json has."""
    lines = ["| key | what it is | better | unit | where from |", "|---|---|---|---|---|"]
    for key, measure in MEASURES.items():
        if measure.compute is not None:
            lines.append(
                f"| `{key}` | **{measure.title}**. {measure.note} | {measure.better} | {measure.unit} | {measure.source} |"
            )
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """Return the page `text` with its table as it is now."""
    before, _, rest = text.partition(_START)
    return f"{before}{_START}{table()}{_END}{rest.partition(_END)[2]}"
