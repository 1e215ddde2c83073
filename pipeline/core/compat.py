"""Make torchvision importable beside a CPU-only torch: import this before diffusers or transformers.

PyPI's torchvision wheel is built for CUDA. Beside a CPU build of torch its C++ extension does not load,
so two operators that its Python code registers fake kernels for are missing, and the import fails with
"operator torchvision::nms does not exist". Declaring their schemas first is enough: nothing here, and
nothing in sd-scripts, ever calls them.
"""

from __future__ import annotations

import torch

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}

# The library object must outlive the import: its schemas vanish with it.
_LIBRARY: torch.library.Library | None = None


def make_torchvision_importable() -> None:
    """Declare torchvision's missing operators on a torch without CUDA; do nothing elsewhere."""
    global _LIBRARY
    if _LIBRARY is not None or torch.version.cuda is not None or torch.version.hip is not None:
        return
    _LIBRARY = torch.library.Library("torchvision", "FRAGMENT")
    for name, schema in _SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            _LIBRARY.define(schema)


make_torchvision_importable()
