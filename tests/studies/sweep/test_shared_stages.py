"""Twenty chains that differ only in cfg, on a tiny model: what comes before the first image is computed once."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from pipeline.studies.sweep import launch, plan
from studies.sweep.sweep_project import git
from test_chain import new_project, set_params

CHAINS = 20


@pytest.mark.slow
def test_twenty_chains_that_differ_in_guidance_train_the_first_model_once(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = new_project(tmp_path / "project", tiny_model, iterations=1)
    set_params(project, prompts=4, steps=2, updates=1)
    (project / "sweeps").mkdir()
    values = ", ".join(f"{1 + i / 4}" for i in range(CHAINS))
    (project / "sweeps/s.yaml").write_text(f"title: guidance\niterations: 1\ngrid: {{cfg: [{values}]}}\n")
    for words in (("config", "user.name", "Test"), ("config", "user.email", "test@example.com"), ("add", "-A")):
        git(project, *words)
    git(project, "commit", "--quiet", "-m", "a sweep")
    monkeypatch.chdir(project)
    assert launch.run_here(Path(), plan.chains(Path("sweeps/s.yaml")), 2, None, print)
    ended = Counter(json.loads(line)["stage"] for line in (project / "logs/times.jsonl").read_text().splitlines())
    shared = ("prepare", "reference", "reference_analysis", "curate@1", "train@1")
    assert ended == {
        stage: 1 if stage in shared else CHAINS for stage in (*shared, "sample@1", "measure@1", "analyse@1", "report")
    }
