"""The completion scripts: what the shell itself makes of them, and what they would offer."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from pipeline.cli.application import COMPLETION_PLACES, main


@pytest.mark.parametrize("shell", COMPLETION_PLACES)
def test_the_script_parses_and_says_where_to_put_it(shell: str) -> None:
    result = CliRunner().invoke(main, ["completion", shell])
    assert result.exit_code == 0 and f"# Put this in place with: {COMPLETION_PLACES[shell]}" in result.output
    assert "_REDIFINE_COMPLETE" in result.output
    if shell == "zsh":
        assert result.output.startswith("#compdef redifine")
    if shutil.which(shell):
        assert subprocess.run([shell, "-n"], input=result.output, text=True, check=False).returncode == 0


def test_another_shell_is_refused() -> None:
    assert CliRunner().invoke(main, ["completion", "powershell"]).exit_code == 2


def test_commands_and_options_are_offered() -> None:
    complete = ShellComplete(main, {}, "redifine", "_REDIFINE_COMPLETE")
    assert {"doctor", "draw"} & {item.value for item in complete.get_completions([], "do")} == {"doctor"}
    assert "--schedule" in {item.value for item in complete.get_completions(["sample"], "--sch")}
