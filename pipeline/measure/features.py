"""Feature extractors: images -> vectors in which distances mean something, and CLIP's towers for the CLIP score."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before transformers)

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer, Dinov2Model

from pipeline.core.errors import UserError
from pipeline.core.weights import loading, refuse_pickles
from pipeline.diffusion.deterministic import exact
from pipeline.diffusion.text import tokenize

_IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
_IMAGENET_STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)
_DINO_SIDE = 224
_TEXTS = 256
"""Prompts that are embedded at a time."""
_ADVICE = "feature_model and clip_model (params.yaml) must each name a folder or hub id that holds such a model"


class Clip:
    """A CLIP model's towers. Calling it gives the image tower's pooled output: the class token after the last
    layer norm, before the projection into the space shared with text.

    Preprocessing is what the folder's preprocessor_config.json says, done by transformers' PIL-based CLIPImageProcessor
    (for OpenAI's models: bicubic to 224 on the short side, centre crop, CLIP's mean and deviation).
    """

    def __init__(self, model: str, device: str = "cpu") -> None:
        self.name = f"clip:{model}"
        self._processor = _load(CLIPImageProcessor, model)
        self._tokenizer = _load(CLIPTokenizer, model)
        self._model = _load_weights(CLIPModel, model).to(device).eval()
        self.dimension = int(self._model.config.vision_config.hidden_size)
        self.preprocessing = _describe(self._processor)

    @torch.inference_mode()
    def __call__(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Extract from [H,W,3] uint8 each -> [N, hidden_size] float32."""
        pixels = self._processor(images=list(images), return_tensors="pt", input_data_format="channels_last").pixel_values
        with exact():
            return self._model.vision_model(pixels.to(self._model.device)).pooler_output.cpu().numpy()

    @torch.inference_mode()
    def project(self, pooled: np.ndarray) -> np.ndarray:
        """Project pooled image features [N, hidden_size] -> embeddings [N, projection_dim] float32, comparable with text."""
        return self._model.visual_projection(torch.from_numpy(pooled).to(self._model.device)).cpu().numpy()

    @torch.inference_mode()
    def embed_text(self, prompts: Sequence[str]) -> np.ndarray:
        """Embed prompts -> embeddings [N, projection_dim] float32. What goes beyond 77 tokens is cut off, EOS is kept."""
        parts = [prompts[start : start + _TEXTS] for start in range(0, len(prompts), _TEXTS)]
        return np.concatenate([self._embed(tokenize(self._tokenizer, part)[:, 0]) for part in parts])

    def _embed(self, ids: torch.Tensor) -> np.ndarray:
        return self._model.get_text_features(input_ids=ids.to(self._model.device)).cpu().numpy()


class Dinov2:
    """DINOv2's class token after the final layer norm, as in Stein et al. 2024 (the paper uses ViT-L/14).

    Preprocessing: bicubic and antialiased (PIL) to 224 x 224 whatever the aspect ratio, then ImageNet's mean and deviation.
    """

    preprocessing = "PIL bicubic (antialiased) to 224 x 224; ImageNet mean and deviation; features not normalised"

    def __init__(self, model: str, device: str = "cpu") -> None:
        self.name = f"dinov2:{model}"
        self._model = _load_weights(Dinov2Model, model).to(device).eval()
        self.dimension = int(self._model.config.hidden_size)

    @torch.inference_mode()
    def __call__(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Extract from [H,W,3] uint8 each -> [N, hidden_size] float32."""
        pixels = torch.from_numpy(np.stack([_for_dinov2(image) for image in images]))
        with exact():
            return self._model(pixels.to(self._model.device)).last_hidden_state[:, 0].cpu().numpy()


def load_extractor(kind: str, model: str, device: str = "cpu") -> Clip | Dinov2:
    """Load the extractor of params `features` ("clip" or "dinov2") with the weights of `model`, a folder or hub id.

    Raise UserError when the model cannot be loaded.
    """
    return Clip(model, device) if kind == "clip" else Dinov2(model, device)


def _for_dinov2(image: np.ndarray) -> np.ndarray:
    """Turn [H,W,3] uint8 into [3,224,224] float32, ImageNet-normalised."""
    resized = Image.fromarray(image).resize((_DINO_SIDE, _DINO_SIDE), Image.Resampling.BICUBIC)
    scaled = np.asarray(resized, dtype=np.float32) / 255.0
    return ((scaled - _IMAGENET_MEAN) / _IMAGENET_STD).transpose(2, 0, 1)


def _describe(processor: Any) -> str:
    """Describe what a CLIP image processor does, for the metrics file."""
    parts = []
    if processor.do_resize:
        size = dict(processor.size)
        sides = f"{size['shortest_edge']} (short side)" if "shortest_edge" in size else f"{size['height']} x {size['width']}"
        parts.append(f"PIL {Image.Resampling(processor.resample).name.lower()} (antialiased) to {sides}")
    if processor.do_center_crop:
        parts.append(f"centre crop {processor.crop_size['height']} x {processor.crop_size['width']}")
    if processor.do_normalize:
        parts.append(f"mean {list(processor.image_mean)}, deviation {list(processor.image_std)}")
    return "; ".join([*parts, "features not normalised"])


def _load_weights(kind: Any, model: str) -> Any:
    """Load a model and refuse a folder of another kind, whose missing weights transformers would draw at random."""
    refuse_pickles(Path(model))
    network, report = _load(kind, model, output_loading_info=True)
    if report["missing_keys"]:
        lacks = f"it lacks {len(report['missing_keys'])} weights, {report['missing_keys'][0]} for one"
        raise UserError(f"cannot load {kind.__name__} from {model}: {lacks}; {_ADVICE}")
    return network


def _load(kind: Any, model: str, **options: Any) -> Any:
    with loading(f"{kind.__name__} from {model}", _ADVICE):
        return kind.from_pretrained(model, **options)
