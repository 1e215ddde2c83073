"""A lineage as a W3C PROV document: entities (files), activities (stages), agents (software)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from prov.constants import PROV
from prov.model import ProvDocument

from pipeline.chain.paths import Layout
from pipeline.provenance.lineage.ancestry import inputs
from pipeline.provenance.lineage.graph import Lineage
from pipeline.provenance.lineage.identify import Match, UnknownFile
from pipeline.provenance.lineage.runs import CodeVersion

PREFIX, NAMESPACE = "chain", "urn:redifine:chain:"
CODE, TRAINER = f"{PREFIX}:software/redifine", f"{PREFIX}:software/sd-scripts"

_RECORDS = (Layout().lineage(1).name, Layout().base_record().name)
_SAID = ("file", "prompt_index", "image_index", "prompt", "seed", "sha256")


def prov_document(lineage: Lineage, file: UnknownFile | None = None, match: Match | None = None) -> ProvDocument:
    """Return `lineage` as PROV and, when the question was about a `file`, that file as a part of where it belongs."""
    document = ProvDocument()
    document.add_namespace(PREFIX, NAMESPACE)
    _agents(document, lineage)
    for path, item in sorted(lineage.items.items()):
        kind = "Collection" if path.startswith(("data/D_", "models/")) else None
        document.entity(_name(path), _attributes({"md5": item.md5, "run": lineage.run} | _record(lineage, path), kind))
    for stage in lineage.stages:
        name = _name(stage.name)
        document.activity(name, None, None, _attributes({"command": stage.command, **stage.params}))
        document.wasAssociatedWith(name, CODE)
        if stage.name.startswith("train@") and lineage.sd_scripts:
            document.wasAssociatedWith(name, TRAINER)
        for item in inputs(stage):
            document.used(name, _name(item.path))
        for item in stage.outs:
            document.wasGeneratedBy(_name(item.path), name)
    if file is not None and match is not None:
        _add_file(document, file, match)
    return document


def to_json(document: ProvDocument) -> str:
    """Return PROV-JSON, keys sorted."""
    return json.dumps(json.loads(document.serialize(format="json") or "{}"), indent=2, sort_keys=True, ensure_ascii=False)


def _agents(document: ProvDocument, lineage: Lineage) -> None:
    libraries = [f"{name} {version}" for name, version in lineage.libraries.items()]
    facts = _version(lineage.code) | {"library": libraries, "machine": list(lineage.machines)}
    document.agent(CODE, _attributes(facts, "SoftwareAgent"))
    if lineage.sd_scripts:
        document.agent(TRAINER, _attributes({"commit": list(lineage.sd_scripts)}, "SoftwareAgent"))


def _version(code: CodeVersion) -> dict[str, Any]:
    """The commit that first recorded the target; where none has, that, and HEAD. `changed`: modules that it holds otherwise."""
    commit = code.commit or ("not committed yet" if code.head else "unknown")
    return {"commit": commit, "name": code.name, "head": code.head, "changed": list(code.changed)}


def _add_file(document: ProvDocument, file: UnknownFile, match: Match) -> None:
    """An image is a member of its D_k, a LoRA a part of its M_k; what was only drawn there is derived from it."""
    name = _name(f"file/{file.path.name}")
    row = {key: match.row[key] for key in _SAID if key in match.row}
    document.entity(name, _attributes({**row, "sha256": file.sha256}))
    if match.exact:
        document.hadMember(_name(match.target), name)
    else:
        document.wasDerivedFrom(name, _name(match.target))


def _record(lineage: Lineage, path: str) -> dict[str, Any]:
    """lineage.json of an M_k, base.json of M_0; the list of M_0's files is left to base.json itself."""
    for name in _RECORDS:
        if (found := lineage.records.get(f"{path}/{name}")) is not None:
            return {key: value for key, value in found.items() if not isinstance(value, dict)}
    return {}


def _name(path: str) -> str:
    return f"{PREFIX}:{path}"


def _attributes(values: Mapping[str, Any], kind: str | None = None) -> list[tuple[str, Any]]:
    """Return PROV's literals: text, numbers, truth values; a list is several values of one attribute; None is left out."""
    found: list[tuple[str, Any]] = [("prov:type", PROV[kind])] if kind else []
    for key, value in values.items():
        several = value if isinstance(value, list) else [value]
        found += [(f"{PREFIX}:{key}", _literal(each)) for each in several if each is not None]
    return found


def _literal(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool) else json.dumps(value, sort_keys=True)
