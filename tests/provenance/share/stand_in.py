"""Stand-in for every stage of the chain: small files that depend on the same things; `python stage.py STAGE@K`."""

import hashlib
import json
import os
import pathlib
import struct
import sys
import zlib

name, _, k = sys.argv[1].partition("@")
k = int(k or 0)
text = pathlib.Path("params.yaml").read_text()
cfg = float(text.split("\ncfg: ")[1].split()[0])
with open(os.environ["TALLY"], "a") as tally:
    tally.write(sys.argv[1] + "\n")


def write(path, content):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def lines(path, rows):
    write(path, "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))


def read(path):
    return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]


def png(colour):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = b"".join(b"\0" + bytes(colour) * 64 for _ in range(64))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(pixels))
        + chunk(b"IEND", b"")
    )


CAPTIONS = [
    'a round "red" creature, spotted, inkpress style',
    "a tall green creature: na\u00efve, inkpress style",
    "horns and a curly tail, plain, inkpress style",
    "a wide creature with # and 'quotes', inkpress style",
]


def images(k, origin):
    rows = []
    for i, caption in enumerate(CAPTIONS):
        content = png(hashlib.sha256(f"{origin} {cfg if k else 0} {i}".encode()).digest()[:3])
        write(f"data/D_{k}/{i:05d}.png", content)
        rows.append(
            {
                "file": f"{i:05d}.png",
                "image_index": 0,
                "prompt": caption,
                "prompt_index": i,
                "seed": 7 * i if k else None,
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        )
    lines(f"data/D_{k}/manifest.jsonl", rows)


if name == "prepare":
    images(0, "real")
    lines("data/prompts.jsonl", [{"index": i, "name": str(i), "prompt": text} for i, text in enumerate(CAPTIONS)])
    write("data/T_0.jsonl", "")
    record = {"files": {}, "model": "models/miniature", "sha256": "ab" * 32, "vae": None}
    write("models/M_0/base.json", json.dumps(record))
elif name in ("reference", "measure"):
    previous = json.loads(pathlib.Path(f"metrics/{k - 1}.json").read_text())["fid"] if k else 1.0
    write(f"features/{k}.safetensors", f"features {k} {pathlib.Path(f'data/D_{k}/manifest.jsonl').read_text()}")
    write(f"metrics/{k}.json", json.dumps({"k": k, "fid": previous + cfg, "n": 4}))
elif name in ("reference_analysis", "analyse"):
    write(f"analysis/{k}.json", json.dumps({"k": k, "cfg": cfg}))
    write(f"analysis/{k}.safetensors", f"maps {k} {cfg}")
elif name == "curate":
    rows = read(f"data/D_{k - 1}/manifest.jsonl")
    lines(
        f"data/T_{k}.jsonl",
        [
            {
                "path": f"data/D_{k - 1}/{row['file']}",
                "prompt_index": row["prompt_index"],
                "image_index": 0,
                "caption": row["prompt"],
                "k": k - 1,
                "sha256": row["sha256"],
            }
            for row in rows
        ],
    )
elif name == "train":
    for row in read(f"data/T_{k}.jsonl"):
        assert hashlib.sha256(pathlib.Path(row["path"]).read_bytes()).hexdigest() == row["sha256"]
    weights = f"weights {k}".encode()
    says = {"ss_base_model_version": "sd_v1", "ss_output_name": f"M_{k}"}
    tensor = {"dtype": "U8", "shape": [len(weights)], "data_offsets": [0, len(weights)]}
    header = json.dumps({"__metadata__": says, "weights": tensor}).encode()
    header += b" " * (-len(header) % 8)
    write(f"models/M_{k}/lora.safetensors", struct.pack("<Q", len(header)) + header + weights)
    write(f"models/M_{k}/lineage.json", json.dumps({"k": k, "trainer": "builtin"}))
elif name == "sample":
    images(k, pathlib.Path(f"models/M_{k}/lora.safetensors").read_bytes())
    write(f"traces/{k}.safetensors", f"traces {k} {cfg}")
elif name == "report":
    last = max(int(path.stem) for path in pathlib.Path("metrics").glob("*.json"))
    assert all(pathlib.Path(f"data/D_{k}/manifest.jsonl").is_file() for k in range(last + 1)), "the report needs every D_k"
    fid = json.loads(pathlib.Path(f"metrics/{last}.json").read_text())["fid"]
    write("report/index.html", f"<p>{fid}")
    write("report/summary.json", json.dumps({"FID": fid}))
    write("plots/metrics.json", "[]")
