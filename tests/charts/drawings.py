"""Read coordinates back out of drawn SVG, and colours out of heat maps."""

from __future__ import annotations

import base64
import io
import xml.etree.ElementTree as ET

import numpy as np
from PIL import Image

Points = list[tuple[float, float]]


def parsed(markup: object) -> ET.Element:
    return ET.fromstring(f"<div>{markup}</div>")


def points(element: ET.Element) -> Points:
    """Corners of a polyline or polygon."""
    pairs = (pair.split(",") for pair in element.get("points", "").split())
    return [(float(x), float(y)) for x, y in pairs]


def circles(markup: object) -> Points:
    """Middles of all circles."""
    return [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in parsed(markup).iter("circle")]


def pixels(uri: str) -> np.ndarray:
    """[H,W,3] of a data URI."""
    assert uri.startswith("data:image/png;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB")).astype(int)
