"""What sd-scripts' own parsers make of hostile paths and captions; and that no shell ever sees one."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hostile.test_hostile_captions import KEPT
from hostile.test_hostile_params import job_of
from hostile.workplace import SETTINGS
from ruamel.yaml import YAML

from pipeline.chain import paths
from pipeline.chain.params import View, check
from pipeline.core.files import write_text
from pipeline.train import config
from pipeline.train.training_inputs import Example, TrainingInputs
from project import ROOT
from train.train_project import needs_sd_scripts

NAMES = [
    'quo"te', "apos'trophe", "back\\slash \\x41 \\u0041", '"""', "'''", '"\noutput_dir = "/tmp/owned', "a # comment", "[model]",
    "tab\tand space ", "{a = 1}", "ünï ☃ 🐉", "a,b", "=", "~", "$(touch owned)", "; touch owned", "--output_dir=/tmp/owned",
]  # fmt: skip

PARSE = """
import pipeline.core.compat, json, sys
sys.path.append(sys.argv[2])
folders = json.load(open(sys.argv[1]))
import train_network
from library import config_util, train_util
parser = train_network.setup_parser()
found = []
for folder in folders:
    sys.argv = ["train_network.py", "--config_file", folder + "/train.toml"]
    args = train_util.read_config_from_file(parser.parse_args(), parser)
    sanitizer = config_util.ConfigSanitizer(True, True, False, True)
    dataset = sanitizer.sanitize_user_config(config_util.load_user_config(args.dataset_config))
    plain = {k: v for k, v in vars(args).items() if isinstance(v, (str, int, float, type(None)))}
    found.append({"args": plain, "dataset": dataset})
json.dump(found, open("found.json", "w"), default=str)
"""


@needs_sd_scripts
def test_the_vendored_parsers_read_back_what_was_set_and_nothing_else(tmp_path: Path) -> None:
    folders = [write_job(tmp_path, f"M_{i}", name) for i, name in enumerate(["plain", *NAMES])]
    (tmp_path / "jobs.json").write_text(json.dumps(folders))
    command = [sys.executable, "-c", PARSE, "jobs.json", str(paths.sd_scripts(ROOT))]
    subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}, check=True)
    plain, *others = json.loads((tmp_path / "found.json").read_text())
    for i, (name, found) in enumerate(zip(NAMES, others, strict=True), 1):
        expected = {"pretrained_model_name_or_path": name, "vae": f"{name}/vae", "output_dir": f"models/M_{i}"}
        files = {"config_file": f"models/M_{i}/train", "dataset_config": f"models/M_{i}/dataset.toml"}
        assert found["args"] == plain["args"] | expected | {key: found["args"][key] for key in files}
        assert found["args"]["dataset_config"] == files["dataset_config"]
        assert found["dataset"] == json.loads(json.dumps(plain["dataset"]).replace("models/M_0/", f"models/M_{i}/"))


def write_job(root: Path, folder: str, model: str) -> str:
    """Write the files of a training whose base model has a hostile name, on captions of that kind."""
    params = check({name: value for name, value in SETTINGS.items() if name != "model"} | {"model": "models/base"})
    job = job_of(params)
    examples = tuple(Example(f"data/D_0/{i:05d}.png", caption) for i, caption in enumerate(KEPT))
    job = TrainingInputs(job.k, examples, job.steps, model, f"{model}/vae", job.base_sha256, None, None, "sd1")
    place = root / "models" / folder
    for name, text in config.texts(View(params, "train"), job, place, root).items():
        write_text(place / name, text)
    metadata = json.loads((place / "metadata.json").read_text())
    assert [entry["caption"] for entry in metadata.values()] == KEPT
    return f"models/{folder}"


def test_the_commands_of_dvc_yaml_hold_no_value_but_the_number_of_the_iteration() -> None:
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"].values()
    commands = [stage.get("do", stage)["cmd"] for stage in stages]
    assert len(commands) >= 9
    assert not [command for command in commands if "$" in command.replace("${key}", "")]


@pytest.mark.parametrize("file", sorted((ROOT / "pipeline").rglob("*.py")), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_module_hands_a_line_to_a_shell(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call):
            assert not any(keyword.arg == "shell" for keyword in node.keywords), node.lineno
            assert ast.unparse(node.func) not in ("os.system", "os.popen", "subprocess.getoutput", "eval", "exec"), node.lineno
