"""croissant.json: the data set in MLCommons' Croissant vocabulary 1.0 (https://mlcommons.org/croissant/1.0), JSON-LD."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.provenance.share.cards import ancestry
from pipeline.provenance.share.formats import SPLIT

FILE = "croissant.json"

_TERMS = ("citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty", "fileObject", "fileSet", "format",
          "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex",
          "repeated", "replace", "separator", "source", "subField", "transform")  # fmt: skip
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    **{term: f"cr:{term}" for term in _TERMS},
}

_COLUMNS = {"file_name": "sc:Text", "text": "sc:Text", "prompt_index": "sc:Integer", "image_index": "sc:Integer",
            "generation": "sc:Integer", "sha256": "sc:Text"}  # fmt: skip


def describe(name: str, format_: str, licence: str, lineage: Mapping[str, Any], hashes: Mapping[str, str]) -> dict[str, Any]:
    """Return the JSON-LD of an exported D_k; `hashes` is the sha256 of each file."""
    k = lineage["generation"]
    kind = "synthetic" if k else "real"
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": name,
        "description": f"D_{k} of a Chain of Diffusion: {kind} images with captions. {ancestry(lineage)}",
        "keywords": ["chain of diffusion", f"generation {k}", kind],
        "license": licence,
        "citeAs": "https://arxiv.org/abs/2407.17493",
        "url": "https://arxiv.org/abs/2407.17493",
        "version": f"{k}.0.0",
        **_RESOURCES[format_](hashes),
    }


def _imagefolder(hashes: Mapping[str, str]) -> dict[str, Any]:
    table = f"{SPLIT}/metadata.jsonl"
    fields = [_field("captions", column, kind, {"fileObject": {"@id": "metadata"}, "extract": {"column": column}})
              for column, kind in _COLUMNS.items()]  # fmt: skip
    return {
        "distribution": [
            _node("FileObject", "metadata", contentUrl=table, encodingFormat="application/jsonlines", sha256=hashes[table]),
            _node("FileSet", "images", includes=f"{SPLIT}/*.png", encodingFormat="image/png"),
        ],
        "recordSet": [_node("RecordSet", "captions", field=fields), _image_records()],
    }


def _kohya(hashes: Mapping[str, str]) -> dict[str, Any]:
    folder = next(name.partition("/")[0] for name in hashes if name.endswith(".png"))
    texts = [_field("captions", part, "sc:Text", {"fileSet": {"@id": "texts"}, "extract": {"fileProperty": part}})
             for part in ("filename", "content")]  # fmt: skip
    return {
        "distribution": [
            _node("FileSet", "images", includes=f"{folder}/*.png", encodingFormat="image/png"),
            _node("FileSet", "texts", includes=f"{folder}/*.txt", encodingFormat="text/plain"),
        ],
        "recordSet": [_node("RecordSet", "captions", field=texts), _image_records()],
    }


def _webdataset(hashes: Mapping[str, str]) -> dict[str, Any]:
    shards = sorted(name for name in hashes if name.endswith(".tar"))
    tar = "application/x-tar"
    files = [_node("FileObject", name, contentUrl=name, encodingFormat=tar, sha256=hashes[name]) for name in shards]
    inside = [{"@id": name} for name in shards]
    images = _node("FileSet", "images", includes="*.png", encodingFormat="image/png", containedIn=inside)
    return {"distribution": [*files, images], "recordSet": [_image_records()]}


_RESOURCES = {"hf-dataset": _imagefolder, "folder": _kohya, "webdataset": _webdataset}


def _image_records() -> dict[str, Any]:
    kinds = {"filename": "sc:Text", "content": "sc:ImageObject"}
    fields = [_field("pictures", part, kind, {"fileSet": {"@id": "images"}, "extract": {"fileProperty": part}})
              for part, kind in kinds.items()]  # fmt: skip
    return _node("RecordSet", "pictures", field=fields)


def _node(kind: str, identifier: str, **rest: Any) -> dict[str, Any]:
    return {"@type": f"cr:{kind}", "@id": identifier, "name": identifier, **rest}


def _field(records: str, name: str, kind: str, source: dict[str, Any]) -> dict[str, Any]:
    return {"@type": "cr:Field", "@id": f"{records}/{name}", "name": name, "dataType": kind, "source": source}
