"""A small random BLIP of the real class, and a tagger network of three weights, in the folders that people have."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before transformers)

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertTokenizerFast, BlipConfig, BlipForConditionalGeneration, BlipImageProcessor, BlipProcessor

WORDS = ["a", "picture", "of", "red", "green", "blue", "tall", "round", "cat", "dog", "tree", "house", "sun", "moon"]
VOCABULARY = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *WORDS,
    "on",
    "near",
    "two",
    "trees",
    ",",
    "-",
    "##s",
    "##ing",
    "[DEC]",
]


def processor(folder: Path) -> BlipProcessor:
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"), additional_special_tokens=["[DEC]"])
    return BlipProcessor(BlipImageProcessor(size={"height": 32, "width": 32}), tokenizer)


def network(seed: int) -> BlipForConditionalGeneration:
    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = sizes | {"vocab_size": len(VOCABULARY), "encoder_hidden_size": 16, "bos_token_id": len(VOCABULARY) - 1,
                    "sep_token_id": 3, "eos_token_id": 3, "pad_token_id": 0, "max_position_embeddings": 256,
                    "initializer_range": 1.0}  # fmt: skip
    vision = sizes | {"image_size": 32, "patch_size": 16, "initializer_range": 1.0}
    return BlipForConditionalGeneration(BlipConfig(text_config=text, vision_config=vision, projection_dim=16))


def write_blip(folder: Path, seed: int = 0) -> Path:
    """As save_pretrained leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    processor(folder).save_pretrained(folder)
    network(seed).save_pretrained(folder)
    return folder


LABELS = "tag_id,name,category,count\n1,sensitive,9,0\n2,blue_sky,0,900\n3,green_hair,0,800\n4,red_(pokemon),4,700\n"


def write_network(folder: Path, batch: int | str = "N", outputs: int = 4) -> Path:
    """Scores: sigmoid of mean blue, blue, green, red of the picture, over 64 less 2: 0.12 for none, 0.88 for 255."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    weights = np.zeros((3, outputs), np.float32)
    weights[[0, 0, 1, 2], [0, 1, 2, 3][:outputs] if outputs == 4 else [0] * 4] = 1 / 64
    nodes = [
        helper.make_node("ReduceMean", ["input_1:0"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["sum"]),
        helper.make_node("Add", ["sum", "bias"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["predictions_sigmoid"]),
    ]
    graph = helper.make_graph(
        nodes, "tagger",
        [helper.make_tensor_value_info("input_1:0", TensorProto.FLOAT, [batch, 8, 8, 3])],
        [helper.make_tensor_value_info("predictions_sigmoid", TensorProto.FLOAT, [batch, outputs])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.full(outputs, -2, np.float32), "bias")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(folder / "model.onnx"))
    (folder / "selected_tags.csv").write_text(LABELS)
    return folder
