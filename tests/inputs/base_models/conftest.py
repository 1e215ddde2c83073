"""A hub on this machine, and a project to fetch into."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from inputs.base_models.hub_stand_in import HubStandIn, serving


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubStandIn]:
    """An empty hub, which is the one that is asked; no token, no cache of the user's."""
    found = HubStandIn()
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with serving(found) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield found


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's root, which is also the working directory."""
    place = tmp_path / "project"
    place.mkdir()
    (place / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.chdir(place)
    return place
