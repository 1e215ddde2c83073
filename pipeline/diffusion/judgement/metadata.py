"""What a file of weights says of itself in its safetensors header: whether that is known to be drawn and trained right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_ARCHITECTURES = ("stable-diffusion-v1", "stable-diffusion-xl-v1-base")
"""What modelspec.architecture may be, before a "/" (https://github.com/Stability-AI/ModelSpec)."""

_FLAGS = {
    "ss_v2": "Stable Diffusion 2",
    "ss_v_parameterization": "a model that predicts v",
    "ss_zero_terminal_snr": "a model of zero terminal SNR",
    "v_pred": "a model that predicts v",
    "ztsnr": "a model of zero terminal SNR",
}
_OTHER_VERSIONS = {"sd_v2": "Stable Diffusion 2", "sd3": "Stable Diffusion 3", "flux": "Flux"}

_MARKERS = {
    "v_pred": "a model that predicts v",
    "ztsnr": "a model of zero terminal SNR",
    "edm_": "a model of another noise (EDM)",
}
"""How the names of tensors begin that say something of the whole model, as ComfyUI reads them."""


def metadata_fault(metadata: Mapping[str, str]) -> str | None:
    """Tell for which other kind of model weights are, by what their file says of itself; None when it says no such thing."""
    for key in ("modelspec.prediction_type", "prediction_type"):
        if (found := metadata.get(key, "epsilon").strip().lower()) not in ("epsilon", "eps", ""):
            return f"a model whose prediction type is {found}, not epsilon ({key} in its metadata)"
    for key, what in _FLAGS.items():
        if metadata.get(key, "").strip().lower() in ("true", "1", "yes"):
            return f"{what} ({key} in its metadata)"
    version = metadata.get("ss_base_model_version", "").lower()
    for start, what in _OTHER_VERSIONS.items():
        if version.startswith(start):
            return f"{what} (ss_base_model_version in its metadata)"
    if version.endswith("_v"):
        return "a model that predicts v (ss_base_model_version in its metadata)"
    architecture = metadata.get("modelspec.architecture", "").partition("/")[0].lower()
    if architecture and architecture not in _ARCHITECTURES:
        return f"of the architecture {architecture} (modelspec.architecture in its metadata)"
    return None


def marker_fault(names: Iterable[str]) -> str | None:
    """Tell what a tensor that is only a mark says of the whole model; None when there is none."""
    for name in sorted(names):
        for start, what in _MARKERS.items():
            if name.startswith(start):
                return f"{what} (it has a tensor {name})"
    return None
