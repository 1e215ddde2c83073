"""Read the coordinates back out of drawn SVG."""

from __future__ import annotations

import xml.etree.ElementTree as ET

Points = list[tuple[float, float]]


def parsed(markup: object) -> ET.Element:
    return ET.fromstring(f"<div>{markup}</div>")


def points(element: ET.Element) -> Points:
    """Corners of a polyline or polygon."""
    pairs = (pair.split(",") for pair in element.get("points", "").split())
    return [(float(x), float(y)) for x, y in pairs]
