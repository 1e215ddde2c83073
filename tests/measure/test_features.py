import pipeline.core.compat  # noqa: F401  (before torchvision)

from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import transforms

from pipeline.core.errors import UserError
from pipeline.inputs.creature_drawing import draw
from pipeline.inputs.creatures import distinct_creatures
from pipeline.measure.features import Clip, Dinov2, load_extractor


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [draw(creature) for creature in distinct_creatures(3, 5)]


@pytest.fixture(scope="module")
def clip(tiny_model: Path) -> Clip:
    return Clip(str(tiny_model / "clip"))


@pytest.fixture(scope="module")
def dinov2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("dinov2")
    config = Dinov2Config(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=224, patch_size=56)
    Dinov2Model(config).save_pretrained(folder)
    return folder


def test_clip_features_are_the_pooled_output_before_projection(
    clip: Clip, tiny_model: Path, pictures: list[np.ndarray]
) -> None:
    from transformers import CLIPVisionModel

    tower = CLIPVisionModel.from_pretrained(tiny_model / "clip").eval()
    pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1.0
    with torch.no_grad():
        expected = tower(pixels).pooler_output.numpy()
    found = clip(pictures)
    assert (found.dtype, found.shape) == (np.float32, (5, clip.dimension))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_projected_features_are_clips_own_image_embedding(clip: Clip, tiny_model: Path, pictures: list[np.ndarray]) -> None:
    from transformers import CLIPModel

    pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1.0
    with torch.no_grad():
        expected = CLIPModel.from_pretrained(tiny_model / "clip").eval().get_image_features(pixels).numpy()
    np.testing.assert_allclose(clip.project(clip(pictures)), expected, atol=1e-5)


def test_an_image_has_the_same_features_alone_and_in_company(clip: Clip, pictures: list[np.ndarray]) -> None:
    np.testing.assert_allclose(clip(pictures)[3:4], clip(pictures[3:4]), atol=1e-5)


def test_what_follows_the_77th_token_is_ignored_and_eos_is_kept(clip: Clip) -> None:
    long = " ".join(["a round red creature"] * 40)
    embeddings = clip.embed_text([long, long + " with two blue eyes", "a round red creature"])
    np.testing.assert_allclose(embeddings[0], embeddings[1], atol=1e-6)
    assert not np.allclose(embeddings[0], embeddings[2], atol=1e-4)


def test_a_prompt_of_any_length_is_read_at_its_end_of_text(clip: Clip, tiny_model: Path) -> None:
    from transformers import CLIPTextModelWithProjection, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(tiny_model / "clip")
    tower = CLIPTextModelWithProjection.from_pretrained(tiny_model / "clip").eval()
    inner = tokenizer(" ".join(["a tall green creature"] * 40), add_special_tokens=False).input_ids[:75]
    ids = torch.tensor([[tokenizer.bos_token_id, *inner, tokenizer.eos_token_id]])
    with torch.no_grad():
        states = tower.text_model(ids).last_hidden_state[:, -1]
        expected = tower.text_projection(states).numpy()
    found = clip.embed_text([" ".join(["a tall green creature"] * 40)])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_dinov2_gives_the_class_token_of_the_dgm_eval_preprocessing(dinov2_folder: Path, pictures: list[np.ndarray]) -> None:
    from PIL import Image
    from transformers import Dinov2Model

    prepare = transforms.Compose([
        transforms.Resize((224, 224), transforms.InterpolationMode.BICUBIC),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ])  # fmt: skip
    pixels = torch.stack([prepare(Image.fromarray(picture)) for picture in pictures])
    with torch.no_grad():
        expected = Dinov2Model.from_pretrained(dinov2_folder).eval()(pixels).pooler_output.numpy()
    extractor = load_extractor("dinov2", str(dinov2_folder))
    assert isinstance(extractor, Dinov2)
    np.testing.assert_allclose(extractor(pictures), expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["clip", "dinov2"])
def test_a_missing_model_is_the_users_error(kind: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="feature_model and clip_model"):
        load_extractor(kind, str(tmp_path / "nothing"))


def test_a_model_of_another_kind_is_refused_instead_of_drawn_at_random(tiny_model: Path) -> None:
    with pytest.raises(UserError, match="lacks"):
        load_extractor("dinov2", str(tiny_model / "clip"))
