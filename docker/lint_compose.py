"""Validate a compose file, its variables at their defaults, against the compose specification's JSON schema.

python docker/lint_compose.py FILE    (with docker/requirements-lint.txt on the path; 'make docker-check' does so)
"""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

_VARIABLE = re.compile(r"\$\{[A-Z_]+:-([^}]*)\}")


def at_defaults(value: Any) -> Any:
    """The document with each ${NAME:-default} replaced by its default."""
    if isinstance(value, dict):
        return {key: at_defaults(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [at_defaults(entry) for entry in value]
    return _VARIABLE.sub(r"\1", value) if isinstance(value, str) else value


def schema() -> dict[str, Any]:
    """The schema that docker-compose 1.29.2 ships, without the old-style ids that a newer validator would resolve."""
    found = importlib.util.find_spec("compose")
    if found is None or found.origin is None:
        raise SystemExit("the compose schema is not here: run 'make docker-check'")
    content = json.loads((Path(found.origin).parent / "config/compose_spec.json").read_text(encoding="utf-8"))
    return _without_ids(content) | {"$schema": "http://json-schema.org/draft-07/schema#"}


def _without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_ids(entry) for key, entry in value.items() if not (key == "id" and isinstance(entry, str))}
    return [_without_ids(entry) for entry in value] if isinstance(value, list) else value


def main(path: Path) -> int:
    import fastjsonschema

    document = at_defaults(YAML(typ="safe").load(path))
    # Compose has had the top-level name since 2022, this schema has not.
    document.pop("name", None)
    try:
        fastjsonschema.compile(schema())(document)
    except fastjsonschema.JsonSchemaException as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 1
    print(f"{path}: {', '.join(document['services'])} as the compose specification has them")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
