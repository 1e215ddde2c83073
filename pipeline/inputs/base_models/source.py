"""Parse what a user gives as a model: a name of the catalogue, an id on the hub, a folder or a single file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.chain.model_names import CATALOGUE, FOLDER, HUB_ID, LOCAL, CatalogueEntry
from pipeline.core.errors import UserError
from pipeline.core.guards import is_file_name


@dataclass(frozen=True)
class HubSource:
    """A repository of the hub at a commit, tag or branch; None is its default branch."""

    repository: str
    revision: str | None
    entry: CatalogueEntry | None = None


def parse_source(text: str, revision: str | None = None) -> HubSource | Path:
    """Parse what `text` names: a Path is on this machine; `revision` overrides the catalogue's.

    Raise UserError for what can be none of the four kinds.
    """
    if text in CATALOGUE:
        entry = CATALOGUE[text]
        return HubSource(entry.repository, revision or entry.revision, entry)
    if Path(text).exists():
        if revision:
            raise UserError(f"--revision {revision} belongs to the hub, and {text} is here; leave it out")
        return in_hub_cache(Path(text))
    found = HUB_ID.fullmatch(text)
    if text == LOCAL or found is None or text.startswith(f"{FOLDER.as_posix()}/") or _looks_like_file(text):
        raise UserError(
            f"{text} is no file or folder here, no id on the hub (owner/name or owner/name@revision), and none of "
            f"{', '.join(CATALOGUE)}; 'redifine base list' explains these"
        )
    return HubSource(found["repository"], revision or found["revision"])


def in_hub_cache(path: Path) -> Path:
    """Return the one snapshot in a folder of the hub's cache (models--owner--name); any other path as it is.

    Raise UserError where there are several, and refs/main names none of them.
    """
    if not (path / "snapshots").is_dir():
        return path
    main = path / "refs/main"
    named = path / "snapshots" / main.read_text(encoding="utf-8").strip() if main.is_file() else None
    found = sorted(folder for folder in (path / "snapshots").iterdir() if folder.is_dir())
    if named in found:
        return found[found.index(named)]
    if len(found) != 1:
        names = ", ".join(folder.name for folder in found) or "none"
        raise UserError(f"{path} has {len(found)} snapshots ({names}), and refs/main names none; give the folder of one")
    return found[0]


def _looks_like_file(text: str) -> bool:
    return Path(text).suffix.lower() in (".safetensors", ".ckpt", ".pt", ".pth", ".bin")


def folder_name(source: HubSource | Path, given: str | None) -> str:
    """Return the name below models/base: what was given, else the catalogue's, the repository's, the file's or the folder's."""
    if given is not None:
        name = given
    elif isinstance(source, Path):
        folder = source.resolve()
        if folder.parent.name == "snapshots":
            folder = folder.parent.parent.with_name(folder.parent.parent.name.rpartition("--")[2])
        name = folder.name if source.is_dir() else source.stem
    else:
        name = source.entry.name if source.entry else source.repository.partition("/")[2]
    if not is_file_name(name) or name.startswith("."):
        raise UserError(f"{name!r} cannot be the name of a folder below {FOLDER}; give another with --name")
    return name


def local_folder(text: str, root: Path) -> Path:
    """Return the folder that `text` names: one below models/base by its name alone, else a path."""
    fetched = root / FOLDER / text
    return fetched if is_file_name(text) and fetched.is_dir() else root / text
