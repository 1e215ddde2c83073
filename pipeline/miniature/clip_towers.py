"""CLIP's text and image towers, trained contrastively; the text tower becomes the text encoder."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before transformers)

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from pipeline.inputs.creatures import ATTRIBUTES, SIZE
from pipeline.miniature.drawings import Drawings, to_unit_range
from pipeline.miniature.training_loop import fit

WIDTH = 128
EMBEDDING = 128


def new_clip(vocabulary: int) -> CLIPModel:
    """Build both towers: width 128, 4 layers of 4 heads; patches of 8 pixels, 77 positions."""
    tower = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_hidden_layers": 4, "num_attention_heads": 4}
    text = tower | {
        "vocab_size": vocabulary, "max_position_embeddings": 77, "bos_token_id": vocabulary - 2,
        "eos_token_id": vocabulary - 1, "pad_token_id": vocabulary - 1, "projection_dim": EMBEDDING,
    }  # fmt: skip
    vision = tower | {"image_size": SIZE, "patch_size": 8, "projection_dim": EMBEDDING}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=EMBEDDING))


class _TowersWithHeads(nn.Module):
    """CLIP and one linear attribute head per attribute on each tower; the heads only guide training."""

    def __init__(self, clip: CLIPModel) -> None:
        super().__init__()
        self.clip = clip
        self.heads = nn.ModuleList(nn.Linear(WIDTH, len(values)) for values in ATTRIBUTES.values())

    def forward(self, pixels: torch.Tensor, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the symmetric InfoNCE, plus the attributes' cross-entropy from the image features.

        The labels speed up what captions alone would teach in far more drawings: which small parts matter.
        """
        image = self.clip.vision_model(pixels).pooler_output
        text = self.clip.text_model(ids).pooler_output
        image_unit = nn.functional.normalize(self.clip.visual_projection(image), dim=-1)
        text_unit = nn.functional.normalize(self.clip.text_projection(text), dim=-1)
        logits = image_unit @ text_unit.T * self.clip.logit_scale.exp().clamp(max=100.0)
        pairs = torch.arange(len(ids))
        contrastive = (cross_entropy(logits, pairs) + cross_entropy(logits.T, pairs)) / 2
        named = [cross_entropy(head(image), labels[:, i]) for i, head in enumerate(self.heads)]
        return contrastive + torch.stack(named).mean()


def train_towers(
    drawings: Drawings, tokenizer: CLIPTokenizer, *, steps: int, batch: int, lr: float, seed: int
) -> tuple[CLIPModel, list[float]]:
    """Train both towers from scratch on drawings and their captions; bfloat16 autocast, float32 weights."""
    torch.manual_seed(seed)
    model = _TowersWithHeads(new_clip(len(tokenizer)))
    # The text tower is causal: what stands after EOS cannot change what is read at EOS, so no padding to 77 here.
    ids = tokenizer(drawings.captions, padding=True, return_tensors="pt").input_ids

    def loss_of(rows: torch.Tensor, _: torch.Generator) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return model(to_unit_range(drawings.images[rows]), ids[rows], drawings.labels[rows])

    averaged, history = fit(
        "towers", model, loss_of, len(drawings), steps=steps, batch=batch, lr=lr, seed=seed, ema=0.998, weight_decay=0.05
    )
    return averaged.clip, history


PREPROCESSOR = {
    "image_processor_type": "CLIPImageProcessor",
    "do_resize": True,
    "size": {"shortest_edge": SIZE},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": SIZE, "width": SIZE},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "do_convert_rgb": True,
}
"""What transformers' CLIPImageProcessor must do so that pixels arrive as in training, in -1..1."""
