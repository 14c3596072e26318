"""Names of tensors in a checkpoint: as a network spells them, and the project they come from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

# parts of names added by DataParallel, torch.compile and memory-saving wrappers
WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
# dictionaries of tensors that are not weights, though they may have the names of weights
STATES = frozenset(
    (
        *("optimizer", "optimizers", "optim", "optimizer_state", "optimizer_state_dict"),
        *("optimizer_states", "optim_state_dict", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"),
        *("momentum_buffer", "square_avg", "acc_delta", "grad", "grads", "gradients"),
    )
)
DEEPEST = 8  # parts of a prefix, and nested dictionaries of a checkpoint
RIVAL = 0.5  # share of a network's tensors that makes another prefix a second network


def spelled(name: str) -> str:
    """Return the name of a tensor without the parts added by wrappers."""
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


class WeightNames:
    """The names in a checkpoint, as stored and as a network would spell them.

    Args:
        names: names of the checkpoint's tensors.
        expected: names of the network's tensors.
    """

    def __init__(self, names: Iterable[str], expected: Iterable[str]) -> None:
        by_spelling = {spelled(name): name for name in expected}
        # otherwise parts of the network have the names of wrappers
        plain = len(by_spelling) == len(list(expected))
        self._expected = by_spelling if plain else {name: name for name in expected}
        spell = spelled if plain else str
        self._rows = [(raw, spell(raw.replace("/", "."))) for raw in names]

    def prefix(self) -> str:
        """Return the prefix that most of the network's names have in the checkpoint."""
        votes = self._votes(self._rows)
        return max(votes, key=lambda prefix: (votes[prefix], -len(prefix)), default="")

    def rivals(self, prefix: str) -> list[str]:
        """Return other prefixes that have nearly as many of the same tensors."""
        taken = dict(self.below(prefix))
        votes = self._votes((row for row in self._rows if row[0] not in taken), set(taken.values()))
        return [other for other, count in votes.items() if count >= RIVAL * len(taken)]

    def elsewhere(self, named: Mapping[str, Any]) -> dict[str, str]:
        """Return names of the network that exist only under another prefix, with that prefix."""
        left = {name for name in self._expected.values() if name not in named}
        votes = self._votes(self._rows, left) if left else Counter()
        for prefix, _ in votes.most_common(1):
            root = self.raw(prefix)
            return {name: root for _, name in self.below(prefix) if name in left}
        return {}

    def below(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Yield the checkpoint's names under a prefix, each with the network's name."""
        for raw, name in self._rows:
            network_name = (
                self._expected.get(name[len(prefix) :]) if name.startswith(prefix) else None
            )
            if network_name is not None:
                yield raw, network_name

    def raw(self, prefix: str) -> str:
        """Return a prefix as written in the checkpoint, for the argument ``key``."""
        raw, network_name = next(self.below(prefix))
        parts = network_name.count(".") + 1
        for _ in range(parts):
            raw = raw[: max(raw.rfind("."), raw.rfind("/"), 0)]
        return raw

    def _votes(
        self, rows: Iterable[tuple[str, str]], only: Collection[str] | None = None
    ) -> Counter[str]:
        """Return how many of the network's names, or of ``only`` these, each prefix has."""
        votes: Counter[str] = Counter()
        for _, name in rows:
            start = 0
            for _ in range(DEEPEST + 1):
                network_name = self._expected.get(name[start:])
                if network_name is not None and (only is None or network_name in only):
                    votes[name[:start]] += 1
                start = name.find(".", start) + 1
                if not start:
                    break
        return votes


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


def is_state(name: str) -> bool:
    """Tell whether an optimizer or a gradient has a tensor, under a name of the network."""
    *above, inner = name.split("/")
    return not STATES.isdisjoint([*above, inner.partition(".")[0] * ("." in inner)])
