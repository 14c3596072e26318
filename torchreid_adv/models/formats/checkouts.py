"""Networks that live in a checkout of their project: TransReID and its relatives, CLIP-ReID.

Nothing of these projects is copied: the user's checkout builds the network. Its modules have names
that all of them share (``config``, ``model``...), so that they are forgotten once it is built.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import importlib.util
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from torchreid_adv.errors import ConfigError
from torchreid_adv.models.loaders import Loaded, Request, State, built, config_file, needed, plain
from torchreid_adv.registry import LOADERS

_SHARED = ("config", "model", "utils", "datasets", "loss", "processor", "solver")
_EMBEDDINGS = ("base.sie_embed", "cv_embed")
_VERI_VIEWS = 8
_OPTIONS = ("set", "camera", "view")
# settings without weights, given to the projects' scripts: SOLIDER's, PersonViT's
_DECISIVE = ("SEMANTIC_WEIGHT", "POOLING")


class Checkout(nn.Module):
    """A network that is called as these projects do, with cameras and views where it has any.

    Args:
        network: images, ``cam_label``, ``view_label`` -> features.
        code: hash of the project's model code.
        labels: which of ``camera`` and ``view`` come from the data.
        fixed: numbers that stand for those of all images.
        known: how many cameras and views the checkpoint has.
    """

    def __init__(
        self,
        network: nn.Module,
        code: str,
        labels: tuple[str, ...],
        fixed: dict[str, int],
        known: dict[str, int],
    ) -> None:
        super().__init__()
        self.network, self.code = network, code
        self.record_labels, self.fixed, self.known = labels, fixed, known

    def forward(self, images: Tensor, *labels: Tensor) -> Any:
        """Return what the network gives for images (N, 3, H, W) and the labels (N,) it takes."""
        label_values = dict(zip(self.record_labels, labels, strict=True))
        for name, number in self.fixed.items():
            label_values[name] = torch.full((len(images),), number, device=images.device)
        for name, values in label_values.items():
            if int(values.min()) < 0 or int(values.max()) >= self.known[name]:
                raise ConfigError(
                    f"the checkpoint knows {self.known[name]} {name}s, and an image is of {name} "
                    f"{int(values.max())}: it was trained on another data set; write @{name}=0 for "
                    "all images, and report that with the result"
                )
        words = {"camera": "cam_label", "view": "view_label"}
        return self.network(images, **{words[name]: value for name, value in label_values.items()})


def _register(name: str, title: str) -> None:
    @LOADERS.register(
        name, weights=True, options=_OPTIONS, title=title,
        example=f"{name}@camera=data:CHECKOUT:CFG.yml:FILE",
    )  # fmt: skip
    def load(request: Request) -> Loaded:
        return _load(name, request)

    load.__doc__ = f"Read {title}: ``{name}:CHECKOUT:CFG.yml:FILE``, built by the user's checkout."


_register("transreid", "TransReID, TransReID-SSL and PersonViT")
_register("solider", "SOLIDER-REID; set MODEL.SEMANTIC_WEIGHT with @set=")
_register("passreid", "PASS-reID")
_register("clipreid", "CLIP-ReID")


def _load(name: str, request: Request) -> Loaded:
    """Build a network from a checkout and put a checkpoint into it.

    INPUT.SIZE_TEST, Pillow bilinear, PIXEL_MEAN and PIXEL_STD of the yml.

    Raises:
        ConfigError: a missing folder, file or setting, or an unknown number of cameras.
    """
    parts = request.parts
    if len(parts) == 2:  # the checkout is on PYTHONPATH
        parts = [_on_path(name), *parts]
    if len(parts) != 3:
        request.taken("CHECKOUT", "CFG.yml", "FILE")
    checkout, config, weights = parts
    folder = Path(checkout).expanduser().resolve()
    if not _is_checkout(folder):
        raise ConfigError(
            f"'{checkout}' is not a checkout of {name}: it has no folders model and config"
        )
    needed("yacs", of=name, pip="yacs")
    if name in ("clipreid", "solider"):
        needed("timm", of=name, pip="timm")
    state = request.state(weights, without=_is_text if name == "clipreid" else None)
    if state.find("bottleneck.weight") is None:
        raise ConfigError(
            f"'{weights}' has no bottleneck: it holds weights of self-supervised training, not of "
            "a re-ID network"
        )
    with built(f"the network of '{config}'"), _importing(folder):
        cfg = _configured(importlib.import_module("config").cfg.clone(), config, request, state)
        labels, fixed, known = _labels(name, cfg, request, state)
        network = _made(name, cfg, state, known)
    state.into(network)
    if name == "solider":
        weight = float(cfg.MODEL.SEMANTIC_WEIGHT)
        base: Any = network.base
        base.register_forward_pre_hook(functools.partial(_weighted, weight), with_kwargs=True)
    settings: dict[str, Any] = {
        "size": tuple(map(int, cfg.INPUT.SIZE_TEST)),
        "mean": tuple(map(float, cfg.INPUT.PIXEL_MEAN)),
        "std": tuple(map(float, cfg.INPUT.PIXEL_STD)),
        "resize": "pillow",
        **({"output": 0} if name == "solider" else {}),
    }
    if request.entry.size and request.entry.size != settings["size"]:
        raise ConfigError(
            f"positions of this network are fixed by its training at {settings['size'][0]}x"
            f"{settings['size'][1]}; leave @HEIGHTxWIDTH out"
        )
    return Loaded(Checkout(network, _code(folder), labels, fixed, known), settings)


def _is_checkout(folder: Path) -> bool:
    return (folder / "model").is_dir() and (folder / "config").is_dir()


def _on_path(name: str) -> str:
    """Return the first checkout on the path of modules."""
    checkout = next((place for place in sys.path if place and _is_checkout(Path(place))), "")
    if not checkout:
        raise ConfigError(
            f"no checkout of {name} is on PYTHONPATH; put it there, or write "
            f"{name}:CHECKOUT:CFG.yml:FILE"
        )
    return checkout


def _configured(cfg: Any, source: str, request: Request, state: State) -> Any:
    """Return a project's config with a yml, for a test that loads nothing else.

    Raises:
        ConfigError: no such file, or a setting that is in neither and decides the features.
    """
    path = config_file(source)
    content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    pairs = [pair.partition(",")[::2] for pair in request.entry.options.get("set", ())]
    stated = {key for key, _ in pairs} | {
        f"{top}.{key}" for top, part in content.items() if isinstance(part, dict) for key in part
    }
    sections = {top: part for top, part in content.items() if part is not None}
    cfg.merge_from_other_cfg(type(cfg)(sections))  # yacs takes no None
    cfg.merge_from_list([word for pair in pairs for word in pair])
    cfg.merge_from_list(["MODEL.PRETRAIN_CHOICE", "none", "MODEL.PRETRAIN_PATH", ""])
    decisive = [f"MODEL.{key}" for key in _DECISIVE if key in cfg.MODEL]
    if any(state.find(name) is not None for name in _EMBEDDINGS):
        decisive.append("MODEL.SIE_COE")
    for key in decisive:
        if key not in stated:
            raise ConfigError(
                f"neither '{source}' nor the checkpoint says {key}, and the features depend on it; "
                f"write @set={key},VALUE as the model was trained with"
            )
    return cfg


def _labels(
    name: str, cfg: Any, request: Request, state: State
) -> tuple[tuple[str, ...], dict[str, int], dict[str, int]]:
    """Return the labels that come from the data, those that are fixed, and how many there are.

    Raises:
        ConfigError: the checkpoint has embeddings of cameras or views, and the entry does not say
            which; or the other way round.
    """
    embedding = next((state.find(key) for key in _EMBEDDINGS if state.find(key) is not None), None)
    asked = [label for label in ("camera", "view") if request.option(label, "none") != "none"]
    if embedding is None:
        if asked:
            raise ConfigError(f"this checkpoint has no embedding of {asked[0]}s; leave it out")
        enabled = [key for key in ("SIE_CAMERA", "SIE_VIEW") if cfg.MODEL[key]]
        if enabled:
            raise ConfigError(
                f"MODEL.{enabled[0]} is True, and the checkpoint has no embedding of it; is it of "
                f"another training? Write @set=MODEL.{enabled[0]},False if not"
            )
        cfg.merge_from_list(["MODEL.SIE_CAMERA", False, "MODEL.SIE_VIEW", False])
        return (), {}, {}
    both = bool(cfg.MODEL.SIE_CAMERA) and bool(cfg.MODEL.SIE_VIEW)
    needs = ["camera"] * (bool(cfg.MODEL.SIE_CAMERA) or not cfg.MODEL.SIE_VIEW)
    needs += ["view"] * bool(cfg.MODEL.SIE_VIEW)
    rows = len(embedding)
    if both and ("veri" not in str(cfg.DATASETS.NAMES) or rows % _VERI_VIEWS):
        raise ConfigError(f"{rows} embeddings of cameras and views are known of VeRi-776 only")
    known = dict.fromkeys(needs, rows)
    if both:
        known = {"camera": rows // _VERI_VIEWS, "view": _VERI_VIEWS}
    for label in needs:
        if label not in asked:
            raise ConfigError(
                f"this checkpoint has embeddings of {known[label]} {label}s, and its features "
                f"depend on them; write {name}@{label}=data:... for those of the data set that it "
                f"was trained on, or @{label}=0 for all images"
            )
    cfg.merge_from_list(["MODEL.SIE_CAMERA", "camera" in needs, "MODEL.SIE_VIEW", "view" in needs])
    data = tuple(label for label in needs if request.option(label) == "data")
    fixed = {label: _number(label, request) for label in needs if label not in data}
    return data, fixed, known


def _number(label: str, request: Request) -> int:
    text = request.option(label)
    if not text.isdigit():
        raise ConfigError(f"{label} is data, a number or none, got '{text}'")
    return int(text)


def _made(name: str, cfg: Any, state: State, known: dict[str, int]) -> nn.Module:
    """Return the network that a project builds."""
    counts = {
        "num_class": state.rows("classifier.weight"),
        "camera_num": known.get("camera", 1),
        "view_num": known.get("view", 1),
    }
    if name == "clipreid":
        network = _clip(importlib.import_module("model.make_model_clipreid"), cfg, state, counts)
    else:
        further = {"semantic_weight": float(cfg.MODEL.SEMANTIC_WEIGHT)} if name == "solider" else {}
        network = importlib.import_module("model").make_model(cfg, **counts, **further)
    return network.eval()


def _clip(theirs: Any, cfg: Any, state: State, counts: dict[str, int]) -> nn.Module:
    """Build CLIP-ReID around an image encoder alone: no CLIP is fetched, no text is read."""
    visual = functools.partial(_visual, importlib.import_module("model.clip.model"), state)
    theirs.load_clip_to_cpu = lambda name, height, width, stride: visual(height, width, stride)
    theirs.PromptLearner = theirs.TextEncoder = lambda *_, **__: nn.Identity()
    network: nn.Module = theirs.make_model(cfg, **counts)
    return network


def _visual(clip: Any, state: State, height: int, width: int, stride: int) -> Any:
    """Return what CLIP-ReID takes of a CLIP, with an image encoder of the checkpoint's shapes."""
    projection = state.find("image_encoder.proj")
    if projection is not None:
        patches = state.find("image_encoder.conv1.weight")
        layers = [n for n in state.tensors if plain(n).endswith("attn.in_proj_weight")]
        assert patches is not None
        wide = len(patches)
        encoder = clip.VisionTransformer(
            height, width, patches.shape[-1], stride, wide, len(layers), wide // 64,
            projection.shape[1],
        )  # fmt: skip
    else:
        counts = [
            len({plain(n).split(".")[2] for n in state.tensors if f"image_encoder.layer{s}." in n})
            for s in (1, 2, 3, 4)
        ]
        first = state.find("image_encoder.layer1.0.conv1.weight")
        out = state.find("attnpool.c_proj.weight")
        assert first is not None
        assert out is not None
        wide = len(first)
        encoder = clip.ModifiedResNet(
            counts, len(out), wide * 32 // 64, height * width, wide
        )  # its positions form the grid of the input
    return types.SimpleNamespace(
        visual=encoder.float(), dtype=torch.float32, token_embedding=None, to=lambda *_: None
    )


def _is_text(name: str) -> bool:
    return name.startswith(("prompt_learner.", "text_encoder.", "module.prompt_learner."))


def _weighted(
    weight: float, module: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Hand SOLIDER's backbone its semantic weight on the device of the images."""
    pair = inputs[0].new_tensor([weight, 1 - weight]).expand(len(inputs[0]), 2)
    return inputs, {**keywords, "semantic_weight": pair}


def _code(folder: Path) -> str:
    """Return a hash of the code that a checkout's networks are made of."""
    digest = hashlib.sha256()
    for path in sorted((folder / "model").rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


@contextlib.contextmanager
def _importing(folder: Path) -> Iterator[None]:
    """Inside the block the modules of a checkout are found first; they are forgotten after it."""
    set_aside = {n: m for n, m in sys.modules.items() if n.partition(".")[0] in _SHARED}
    for name in set_aside:
        del sys.modules[name]
    absent = {n: m for n, m in _replacements().items() if n not in sys.modules}
    sys.modules.update(absent)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in [n for n in sys.modules if n.partition(".")[0] in _SHARED]:
            del sys.modules[name]
        for name in absent:
            sys.modules.pop(name, None)
        sys.modules.update(set_aside)


def _replacements() -> dict[str, types.ModuleType]:
    """Return modules that these projects import, and that today's packages no longer have."""
    import collections.abc

    six = types.ModuleType("torch._six")
    vars(six)["container_abcs"] = collections.abc
    modules = {"torch._six": six}
    if importlib.util.find_spec("mmcv") is None:
        runner = types.ModuleType("mmcv.runner")
        vars(runner)["load_checkpoint"] = _not_at_test
        modules |= {"mmcv": types.ModuleType("mmcv"), "mmcv.runner": runner}
    return modules


def _not_at_test(*arguments: Any, **keywords: Any) -> Callable[..., Any]:
    raise ConfigError("a checkout loads weights by mmcv, which only its training does")
