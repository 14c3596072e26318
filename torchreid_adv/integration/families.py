"""The project that a checkpoint comes from, detected by the names of its tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable

SHOWN = 3  # names shown as examples

# project, patterns that must all match the start of a name (without prefixes of wrappers)
_FAMILIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("CLIP-ReID", (r"image_encoder\.", r"prompt_learner\.")),
    ("fast-reid", (r"backbone\.|b1\.", r"heads\.|b1_head\.")),
    ("SOLIDER-REID", (r"base\.semantic_embed_w",)),
    ("PASS-reID", (r"base\.part_token1",)),
    ("TransReID", (r"base\.sie_embed|base\.blocks\.|b1\.0\.", r"bottleneck|classifier")),
    ("a strong-baseline or AGW network", (r"base\.", r"bottleneck\.")),
    ("a cluster-contrast network", (r"base\.", r"feat_bn\.")),
    ("LightMBN", (r"backone\.|backbone\.0\.conv\.", r"reduction_\d")),
    ("a Person_reID_baseline_pytorch network", (r"(.*\.)?classifier\.add_block\.",)),
    ("OpenCLIP or CLIP", (r"visual\.(transformer|conv1|trunk|attnpool)",)),
    ("a Hugging Face CLIP", (r"vision_model\.",)),
    ("a timm or DINO vision transformer", (r"cls_token|pos_embed", r"blocks\.\d+\.attn\.qkv")),
    ("a timm or torchvision Swin transformer", (r"(layers|features)\.\d+\..*relative_position",)),
    ("a timm ConvNeXt", (r"stages\.\d+\.blocks\.\d+\.(conv_dw|gamma)",)),
    ("a timm EfficientNet or MobileNet", (r"conv_stem\.", r"blocks\.\d+\.")),
    ("torchreid's OSNet", (r"conv1\.conv\.", r"conv2\.0\.", r"conv5\.", r"fc\.0\.")),
    ("a ResNet of torchreid, torchvision or timm", (r"conv1\.weight", r"layer4\.", r"layer1\.0\.")),
    ("a video network of self-attack", (r"stem_visible\.", r"stem_infrared\.")),
    ("a victim of this package", (r"trunk\.",)),
)


def family(names: Iterable[str]) -> str:
    """Describe the names of a checkpoint's tensors in a clause, with examples.

    Args:
        names: names of tensors, without prefixes of wrappers.
    """
    names = list(names)[:5000]
    known = next(
        (f", which look like those of {name}" for name, parts in _FAMILIES if _all(parts, names)),
        "",
    )
    some = ", ".join(name[:60] for name in names[:SHOWN])
    return f"its tensors are called {some}{'...' if len(names) > SHOWN else ''}{known}"


def _all(patterns: tuple[str, ...], names: list[str]) -> bool:
    return all(any(re.match(pattern, name) for name in names) for pattern in patterns)
