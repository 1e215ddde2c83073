"""Prompt files, as sd-scripts, web UIs and editors write them."""

from __future__ import annotations

from hostile.corpus.row import Bring, Refused, Row, files

SAMPLE = ("sample", "--prompts", "p.txt", "--model", "tiny", "--steps", "1", "--max-token-length", "75", "--clip-skip", "1")


def prompt_file(content: bytes | str) -> Bring:
    return files({"p.txt": content}, "")


ROWS = [
    Row("a prompt file of blank lines", prompt_file("\n \n"), Refused("p.txt holds no prompt"), SAMPLE),
    Row("a prompt file of comments", prompt_file("# one\n# two\n"), Refused("p.txt holds no prompt"), SAMPLE),
    Row("a prompt with a LoRA's tag", prompt_file("a cat <lora:x:1>\n"), Refused("<lora:x:1>"), SAMPLE),
    Row("a prompt file's unknown option", prompt_file("a cat --q 5\n"), Refused("--q"), SAMPLE),
    Row("a prompt file's odd size", prompt_file("a cat --w 63\n"), Refused("63"), SAMPLE),
    Row("a prompt file in cp1252", prompt_file(b"caf\xe9\n"), Refused("p.txt is not UTF-8 text"), SAMPLE),
    Row("a prompt of 100 words", prompt_file("creature " * 100), Refused("has 100 tokens, and only 75 would be read"), SAMPLE),
]
