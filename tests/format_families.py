"""The families of the acceptance table, each with its source's own extractor."""

from __future__ import annotations

import collections.abc
import contextlib
import functools
import types
from unittest import mock

import numpy as np
import pytest
import torch
import torchvision
from format_cases import Case, Importing, checkout, filled
from torchvision import transforms as T

IMAGENET = T.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def bicubic(size):
    return T.Compose([T.Resize(size, interpolation=3), T.ToTensor(), IMAGENET])


def bilinear(size, normalize=IMAGENET):
    return T.Compose([T.Resize(size), T.ToTensor(), normalize])


def extractor(network, transform, of=lambda network, inputs: network(inputs)):
    def features(pictures):
        with torch.no_grad():
            return of(network, torch.stack([transform(picture) for picture in pictures]))

    return features


def saved(name, prefix="", inside=None, entry="{}"):
    """Return a writer: torch.save under a name; names get a prefix, the state a key."""

    def write(state, folder):
        state = {f"{prefix}{key}": value for key, value in state.items()}
        torch.save({inside: state, "epoch": 3} if inside else state, folder / name)
        return entry.format(folder / name)

    return write


# Person_reID_baseline_pytorch


class _Ignoring:
    """Calls a function without arguments, whatever it is called with."""

    def __init__(self, function):
        self.function = function

    def __call__(self, **_):
        return self.function()


def _layumi_source(kind):
    folder = checkout("layumi+Person_reID_baseline_pytorch")
    plain = functools.partial(torchvision.models.resnet50, weights=None)
    others = ("pretrainedmodels", "timm", "efficientnet_pytorch", "pytorch_metric_learning")
    missing = {name: mock.MagicMock() for name in others}
    with Importing(folder), mock.patch.dict("sys.modules", missing):
        import model as theirs
    with mock.patch.object(torchvision.models, "resnet50", new=_Ignoring(plain)):
        network = theirs.ft_net(7, stride=1) if kind == "ft" else theirs.PCB(7)
    return theirs, filled(network)


def _mirrored(network, inputs):
    return network(inputs) + network(inputs.flip(3))


def layumi():
    _, network = _layumi_source("ft")
    tested = filled(network)
    state = {k: v.clone() for k, v in tested.state_dict().items()}
    tested.classifier.classifier = torch.nn.Sequential()
    return state, extractor(tested, bicubic((256, 128)), _mirrored)


def layumi_pcb():
    theirs, network = _layumi_source("PCB")
    state = {k: v.clone() for k, v in network.state_dict().items()}
    tested = theirs.PCB_test(network).eval()

    def of(network, inputs):
        parts = _mirrored(network, inputs)
        lengths = torch.norm(parts, p=2, dim=1, keepdim=True) * np.sqrt(6)
        return parts.div(lengths.expand_as(parts)).view(len(parts), -1)

    return state, extractor(tested, bicubic((384, 192)), of)


def _layumi_folder(options):
    def write(state, folder):
        (folder / "opts.yaml").write_text(options)
        torch.save(state, folder / "net_last.pth")
        return f"layumi:{folder}"

    return write


# reid-strong-baseline and ReID-Survey


def _baseline(repository, build):
    with Importing(checkout(repository)):
        from modeling import baseline as theirs
    return filled(build(theirs.Baseline))


def bagtricks():
    network = _baseline(
        "michuanhaohao+reid-strong-baseline",
        lambda kind: kind(7, 1, "", "bnneck", "after", "resnet50", ""),
    )
    return network.state_dict(), extractor(network, bilinear([256, 128]))


def agw():
    network = _baseline(
        "mangye16+ReID-Survey", lambda kind: kind(7, 1, "", "resnet50_nl", "on", "")
    )
    return network.state_dict(), extractor(network, bilinear([256, 128]))


def clustercontrast():
    with Importing(checkout("alibaba+cluster-contrast-reid")):
        from clustercontrast.models import resnet as theirs
    made = theirs.resnet50(pretrained=False, num_classes=0, norm=True, pooling_type="gem")
    network = filled(made)
    return network.state_dict(), extractor(network, bicubic((256, 128)))


# LightMBN, OpenUnReID, OpenVINO


def lightmbn():
    arguments = types.SimpleNamespace(num_classes=7, feats=512, activation_map=False)
    with Importing(checkout("jixunbo+LightMBN")):
        from model import lmbn_n, osnet

        with mock.patch.object(osnet, "init_pretrained_weights"):
            network = filled(lmbn_n.LMBN_n(arguments))

    def of(network, inputs):
        parts = _mirrored(network, inputs)
        return parts.div(torch.norm(parts, p=2, dim=1, keepdim=True)).flatten(1)

    return network.state_dict(), extractor(network, bicubic((384, 128)), of)


OPENUNREID = """
MODEL: {backbone: %s, pooling: %s, embed_feat: %d}
DATA: {height: 256, width: 128, norm_mean: [0.485, 0.456, 0.406], norm_std: [0.229, 0.224, 0.225]}
TRAIN: {datasets: {one: trainval, two: trainval}, val_dataset: two}
"""


def _openunreid_files(*, teacher, domains):
    name, pooling, width = ("resnet18", "avg", 64) if teacher else ("resnet50_ibn_a", "gem", 0)

    def write(state, folder):
        (folder / "config.yaml").write_text(OPENUNREID % (name, pooling, width))
        torch.save({"state_dict": state, "epoch": 3}, folder / "model_best.pth")
        return f"openunreid:{folder / 'config.yaml'}:{folder / 'model_best.pth'}"

    return write


def _openunreid(name, pooling, width, **options):
    # what its setup.py writes, and packages that building a network does not need
    names = ("openunreid.version", "multiprocess", "easydict", "requests")
    written = {name: mock.MagicMock(__version__="0", short_version="0") for name in names}
    with Importing(checkout("open-mmlab+OpenUnReID")), mock.patch.dict("sys.modules", written):
        import openunreid.models.builder as theirs
        from openunreid.models.utils.dsbn_utils import convert_dsbn
    made = theirs.ReIDBaseModel(name, 7, pooling, width, pretrained=False, **options)
    return theirs, convert_dsbn, made


def openunreid():
    _, _, made = _openunreid("resnet50_ibn_a", "gem", 0)
    network = filled(made)
    return network.state_dict(), extractor(network, bicubic((256, 128)))


def openunreid_teacher():
    theirs, convert_dsbn, made = _openunreid("resnet18", "avg", 64)
    convert_dsbn(made, 2, 1)
    network = torch.nn.Module()
    network.module = theirs.TeacherStudentNetwork(made)
    filled(network)
    tested = network.module
    return network.state_dict(), extractor(tested, bicubic((256, 128)))


class _Converted(torch.nn.Module):
    """A small network, which is converted."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = torch.nn.Conv2d(3, 32, 7, stride=4), torch.nn.BatchNorm2d(32)

    def forward(self, images):
        return self.norm(self.conv(images)).relu().mean((2, 3))


def openvino():
    network = filled(_Converted())
    return network.state_dict(), extractor(network, bilinear((256, 128)))


def _openvino_file(state, folder):
    import openvino as theirs

    network = _Converted()
    network.load_state_dict(state)
    made = theirs.convert_model(
        network.eval(), example_input=torch.rand(1, 3, 256, 128), input=[[1, 3, 256, 128]]
    )
    theirs.save_model(made, folder / "net.xml", compress_to_fp16=False)
    return f"openvino:{folder / 'net.xml'}"


# fast-reid, by its own package


FASTREID = """
MODEL:
  META_ARCHITECTURE: {arch}
  BACKBONE:
    {{NAME: build_resnet_backbone, NORM: BN, DEPTH: {depth}, LAST_STRIDE: 1, FEAT_DIM: {dim},
      WITH_IBN: {ibn}}}
  HEADS:
    {{NAME: EmbeddingHead, NORM: BN, WITH_BNNECK: true, NECK_FEAT: after, POOL_LAYER: {pool},
      CLS_LAYER: Linear}}
INPUT: {{SIZE_TEST: [256, 128]}}
"""
FAST_R18 = FASTREID.format(arch="Baseline", depth="18x", dim=512, ibn=False, pool="GlobalAvgPool")
FAST_IBN = FASTREID.format(
    arch="Baseline", depth="18x", dim=512, ibn=True, pool="GeneralizedMeanPoolingP"
)


def _fastreid(text):
    import tempfile

    def source():
        pytest.importorskip("fastreid")
        from fastreid.config import get_cfg
        from fastreid.modeling.meta_arch import build_model

        cfg = get_cfg()
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            file.write(text)
            file.flush()
            cfg.merge_from_file(file.name)
        cfg.merge_from_list(["MODEL.DEVICE", "cpu", "MODEL.HEADS.NUM_CLASSES", 7])
        network = filled(build_model(cfg))
        levels = T.Compose([T.Resize((256, 128), interpolation=3), T.PILToTensor()])

        def features(pictures):
            with torch.no_grad():
                return network({"images": torch.stack([levels(p).float() for p in pictures])})

        return network.state_dict(), features

    return source


def _fastreid_files(text):
    def write(state, folder):
        (folder / "cfg.yml").write_text(text)
        torch.save({"model": state, "iteration": 3}, folder / "model_best.pth")
        return f"fastreid:{folder / 'cfg.yml'}:{folder / 'model_best.pth'}"

    return write


# timm, torchvision, OpenCLIP, transformers


def timm_vit():
    timm = pytest.importorskip("timm")
    network = filled(timm.create_model("vit_tiny_patch16_224", num_classes=7, img_size=(256, 128)))
    network.reset_classifier(0)
    state = filled(network).state_dict()
    half = T.Normalize((0.5,) * 3, (0.5,) * 3)
    transform = T.Compose([T.Resize((256, 128), interpolation=3), T.ToTensor(), half])
    return state, extractor(network, transform)


def timm_folder():
    timm = pytest.importorskip("timm")
    network = filled(timm.create_model("resnet18", num_classes=0))
    return network.state_dict(), extractor(network, bilinear((224, 224)))


def _timm_folder(state, folder):
    import json

    from safetensors.torch import save_file

    config = {
        "architecture": "resnet18",
        "num_classes": 0,
        "pretrained_cfg": {
            "input_size": [3, 224, 224], "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
            "interpolation": "bilinear", "crop_pct": 0.95, "num_classes": 0, "first_conv": "conv1",
            "classifier": "fc",
        },
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    save_file(state, folder / "model.safetensors")
    return f"timm:{folder}"


def torchvision_resnet():
    network = filled(torchvision.models.resnet18(num_classes=7))
    state = {k: v.clone() for k, v in network.state_dict().items()}
    network.fc = torch.nn.Identity()
    return state, extractor(network, bilinear((256, 128)))


def openclip():
    library = pytest.importorskip("open_clip")
    network = library.create_model("ViT-S-32-alt", pretrained=None, force_image_size=(256, 128))
    visual = filled(network.visual)
    clip = T.Normalize(library.OPENAI_DATASET_MEAN, library.OPENAI_DATASET_STD)
    transform = T.Compose([T.Resize((256, 128), interpolation=3), T.ToTensor(), clip])
    state = {f"visual.{name}": value for name, value in visual.state_dict().items()}
    state["logit_scale"], state["positional_embedding"] = torch.zeros(()), torch.zeros(77, 256)

    def of(network, inputs):
        return network.encode_image(inputs)

    return state, extractor(network.eval(), transform, of)


def hf_vit():
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=128,
        image_size=(96, 64),
    )  # fmt: skip
    network = filled(transformers.ViTModel(config))
    half = T.Normalize((0.5,) * 3, (0.5,) * 3)

    def of(network, inputs):
        return network(pixel_values=inputs).pooler_output

    return network.state_dict(), extractor(network, bilinear((96, 64), half), of)


def _hf_folder(state, folder):
    import json

    from safetensors.torch import save_file

    config = {
        "architectures": ["ViTModel"], "model_type": "vit", "hidden_size": 64,
        "image_size": [96, 64],
        "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128,
    }  # fmt: skip
    described = {"size": {"height": 96, "width": 64}, "resample": 2}
    described |= {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text(json.dumps(described))
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return f"hf:{folder}"


# trackers: boxmot and reid


def _boxmot(name, size):
    def source():
        backbones = pytest.importorskip("boxmot.reid.backbones")
        from boxmot.reid.core.preprocessing import resize

        network = filled(
            backbones.get_backbone_builder(name)(
                num_classes=7, loss="softmax", pretrained=False, use_gpu=False
            )
        )

        def transform(picture):
            pixels = resize(np.asarray(picture)[:, :, ::-1], size)[:, :, ::-1]
            return IMAGENET(torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1))

        return network.state_dict(), extractor(network, transform)

    return source


def reid_folder():
    pytest.importorskip("reid.preprocessing")
    from reid.architectures.registry import build_architecture
    from reid.preprocessing import ReIDPreprocessing

    network = filled(build_architecture("osnet_x0_25"))
    transform = ReIDPreprocessing(resize_mode="letterbox").build_crop_transform()
    return network.state_dict(), extractor(network, transform)


def _reid_folder(state, folder):
    import json

    from safetensors.torch import save_file

    config = {
        "architecture": "osnet_x0_25",
        "preprocessing": {
            "input_size": [256, 128], "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225], "interpolation": "bilinear", "to_rgb": True,
            "resize_mode": "letterbox", "pad_value": 114,
        },
    }  # fmt: skip
    (folder / "reid_config.json").write_text(json.dumps(config))
    save_file(state, folder / "weights.safetensors")
    return f"reid:{folder}"


# checkouts that build their own networks


@contextlib.contextmanager
def _old_modules():
    """Inside the block modules are there that today's torch and this machine do not have."""
    six, runner = types.ModuleType("torch._six"), types.ModuleType("mmcv.runner")
    six.container_abcs, runner.load_checkpoint = collections.abc, None
    found = {"torch._six": six, "mmcv": types.ModuleType("mmcv"), "mmcv.runner": runner}
    with mock.patch.dict("sys.modules", found):
        yield


def _config(folder, file, *pairs):
    from config import cfg

    cfg = cfg.clone()
    cfg.merge_from_file(str(folder / file))
    cfg.merge_from_list(["MODEL.PRETRAIN_CHOICE", "none", "MODEL.PRETRAIN_PATH", "", *pairs])
    return cfg


DEIT = ["MODEL.TRANSFORMER_TYPE", "deit_small_patch16_224_TransReID", "MODEL.SIE_CAMERA", True,
        "MODEL.SIE_COE", 3.0, "MODEL.JPM", False, "MODEL.STRIDE_SIZE", [16, 16]]  # fmt: skip
HALF = T.Normalize((0.5,) * 3, (0.5,) * 3)


def transreid():
    folder = checkout("damo-cv+TransReID")
    with _old_modules(), Importing(folder):
        from model import make_model

        cfg = _config(folder, "configs/Market/vit_transreid.yml", *DEIT)
        network = filled(make_model(cfg, num_class=7, camera_num=6, view_num=1))

    def of(network, inputs):
        return network(inputs, cam_label=torch.arange(len(inputs)) % 2)

    return network.state_dict(), extractor(network, bilinear([256, 128], HALF), of)


def _relative(place, yml, *pairs):
    """Return the source of a relative of TransReID, in a folder of its checkout."""

    def source():
        folder = checkout(place)
        with _old_modules(), Importing(folder):
            from model import make_model

            cfg = _config(folder, yml, *pairs)
            network = filled(make_model(cfg, num_class=7, camera_num=6, view_num=1))
        return network.state_dict(), extractor(network, bilinear([256, 128], HALF))

    return source


def solider():
    folder = checkout("tinyvision+SOLIDER-REID")
    with _old_modules(), Importing(folder):
        from model import make_model

        cfg = _config(folder, "configs/market/swin_tiny.yml")
        network = filled(make_model(cfg, 7, 6, 1, semantic_weight=0.2))

    def of(network, inputs):
        with mock.patch.object(torch.Tensor, "cuda", lambda tensor, *_: tensor):
            return network(inputs)[0]

    return network.state_dict(), extractor(network, bilinear([384, 128], HALF), of)


def clipreid():
    folder = checkout("Syliz517+CLIP-ReID")
    with _old_modules(), Importing(folder):
        from config import cfg
        from model import make_model_clipreid as theirs
        from model.clip.model import CLIP

        cfg = cfg.clone()
        cfg.merge_from_list(["MODEL.NAME", "ViT-B-16", "MODEL.SIE_CAMERA", True])
        cfg.merge_from_list(["MODEL.SIE_COE", 1.0])
        cfg.merge_from_list(["MODEL.STRIDE_SIZE", [16, 16], "TEST.NECK_FEAT", "before"])
        cfg.merge_from_list(["INPUT.SIZE_TRAIN", [256, 128], "INPUT.SIZE_TEST", [256, 128]])

        def clip(name, height, width, stride):
            made = CLIP(512, 224, 12, 768, 16, stride, 77, 49408, 512, 8, 1, height, width)
            made.to = lambda *_: made
            return made

        with mock.patch.object(torch.Tensor, "cuda", lambda tensor, *_: tensor):
            theirs.load_clip_to_cpu = clip
            network = filled(theirs.make_model(cfg, 7, 6, 1))

    def of(network, inputs):
        return network(inputs, cam_label=torch.arange(len(inputs)) % 2)

    return network.state_dict(), extractor(network, bilinear([256, 128], HALF), of)


def _checkout_entry(name, repository, yml, *options):
    def write(state, folder):
        torch.save(state, folder / "net.pth")
        (folder / "cfg.yml").write_text(yml)
        head = "@".join([name, *options])
        return f"{head}:{checkout(repository)}:{folder / 'cfg.yml'}:{folder / 'net.pth'}"

    return write


TEST = "TEST: {NECK_FEAT: before}\n"
INPUT = (
    "INPUT: {SIZE_TRAIN: [%s], SIZE_TEST: [%s], PIXEL_MEAN: [0.5, 0.5, 0.5], "
    "PIXEL_STD: [0.5, 0.5, 0.5]}\n"
)
TRANSREID = (
    "MODEL: {NAME: transformer, PRETRAIN_CHOICE: imagenet, TRANSFORMER_TYPE: "
    "deit_small_patch16_224_TransReID, STRIDE_SIZE: [16, 16], SIE_CAMERA: true, SIE_COE: 3.0}\n"
    + INPUT % ("256, 128", "256, 128") + TEST
)  # fmt: skip
RELATIVE = (
    "MODEL: {NAME: transformer, TRANSFORMER_TYPE: vit_small_patch16_224_TransReID, "
    "STRIDE_SIZE: [16, 16]%s}\n" + INPUT % ("256, 128", "256, 128") + TEST
)  # fmt: skip
SSL, PERSONVIT, PASS = (
    "damo-cv+TransReID-SSL/transreid_pytorch",
    "hustvl+PersonViT/transreid_pytorch",
    "CASIA-IVA-Lab+PASS-reID/PASS_transreid",
)
SOLIDER = (
    "MODEL: {NAME: transformer, TRANSFORMER_TYPE: swin_tiny_patch4_window7_224}\n"
    + INPUT % ("384, 128", "384, 128") + TEST
)  # fmt: skip
CLIPREID = (
    "MODEL: {NAME: ViT-B-16, STRIDE_SIZE: [16, 16]}\nDATASETS:\n#  NAMES: x\n"
    + INPUT % ("256, 128", "256, 128") + TEST
)  # fmt: skip


CASES = [
    Case(
        "layumi", _layumi_folder("stride: 1\nPCB: false\n"), layumi, "classifier.add_block.0.weight"
    ),
    Case("layumi_pcb", _layumi_folder("stride: 2\nPCB: true\n"), layumi_pcb, "model.conv1.weight"),
    Case(
        "bagtricks",
        saved("resnet50_model.pth", entry="bagtricks@neck=after:{}"),
        bagtricks,
        "bottleneck.running_mean",
        other="resize=bicubic",
    ),
    Case("agw", saved("agw.pth", entry="agw:{}"), agw, "base.NL_2.1.W.0.bias", other="resize=cv2"),
    Case(
        "clustercontrast",
        saved("model_best.pth.tar", "module.", "state_dict", "clustercontrast:{}"),
        clustercontrast,
        "base.4.0.conv1.weight",
    ),
    Case(
        "fastreid", _fastreid_files(FAST_R18), _fastreid(FAST_R18), "heads.bottleneck.0.weight",
        needs=("fastreid", "yacs", "termcolor", "tabulate"),
    ),
    Case(
        "fastreid_ibn", _fastreid_files(FAST_IBN), _fastreid(FAST_IBN), "heads.pool_layer.p",
        needs=("fastreid", "yacs", "termcolor", "tabulate"), other="resize=cv2_cubic",
    ),
    Case(
        "timm_vit", saved("vit.pth", entry="timm@256x128:vit_tiny_patch16_224:{}"), timm_vit,
        "pos_embed", needs=("timm",),
    ),
    Case(
        "timm_folder", _timm_folder, timm_folder, "layer4.1.bn2.running_var",
        other="resize=bicubic", needs=("timm", "huggingface_hub"),
    ),
    Case(
        "torchvision", saved("r18.pth", entry="torchvision@256x128:resnet18:{}"),
        torchvision_resnet,
        "layer4.1.bn2.running_var", other="resize=cv2", slow=False,
    ),
    Case(
        "openclip", saved("clip.pt", entry="openclip@256x128:ViT-S-32-alt:{}"), openclip,
        "visual.class_embedding", needs=("open_clip",),
    ),
    Case(
        "hf", _hf_folder, hf_vit, "embeddings.position_embeddings", other="resize=bicubic",
        needs=("transformers",),
    ),
    Case(
        "boxmot_osnet", saved("osnet_x0_25_msmt17.pt", entry="boxmot:{}"),
        _boxmot("osnet_x0_25", (256, 128)), "conv5.conv.weight", slow=False,
    ),
    Case(
        "boxmot_lmbn", saved("lmbn_n_market.pt", entry="boxmot:lmbn_n:{}"),
        _boxmot("lmbn_n", (384, 128)), "reduction_0.reduction.weight", needs=("boxmot",),
    ),
    Case(
        "lightmbn", saved("lmbn_n.pt", entry="lightmbn@resize=bicubic:{}"), lightmbn,
        "reduction_0.reduction.weight",
    ),
    Case(
        "openunreid", _openunreid_files(teacher=False, domains=1), openunreid,
        "backbone.layer4.2.bn3.running_var", machine=2e-4, near=0.25,
    ),
    Case(
        "openunreid_teacher", _openunreid_files(teacher=True, domains=2), openunreid_teacher,
        "module.mean_net.backbone.layer4.1.bn2.dsbn.1.running_var", slow=False,
    ),
    Case(
        "openvino", _openvino_file, openvino, "", needs=("openvino",), other="resize=cv2",
        near=0.15,
    ),
    Case(
        "reid", _reid_folder, reid_folder, "conv1.conv.weight", other="resize=pillow", slow=False,
    ),
    Case(
        "transreid",
        _checkout_entry("transreid", "damo-cv+TransReID", TRANSREID, "camera=data"),
        transreid, "base.pos_embed", other="resize=cv2", needs=("yacs",),
    ),
    Case(
        "transreid_ssl", _checkout_entry("transreid", SSL, RELATIVE % ", STEM_CONV: true"),
        _relative(SSL, "configs/market/vit_small_ics.yml"), "base.patch_embed.conv.3.weight",
        other="resize=cv2", needs=("yacs",),
    ),
    Case(
        "personvit",
        _checkout_entry("transreid", PERSONVIT, RELATIVE % "", "set=MODEL.POOLING,avg_max"),
        _relative(PERSONVIT, "configs/market/vit_small.yml", "MODEL.POOLING", "avg_max"),
        "base.pos_embed",
        other="resize=cv2", needs=("yacs",),
    ),
    Case(
        "passreid", _checkout_entry("passreid", PASS, RELATIVE % ""),
        _relative(PASS, "configs/market/vit_small.yml"), "base.part_token2",
        other="resize=cv2", needs=("yacs",),
    ),
    Case(
        "solider",
        _checkout_entry(
            "solider", "tinyvision+SOLIDER-REID", SOLIDER, "set=MODEL.SEMANTIC_WEIGHT,0.2"
        ),
        solider, "base.semantic_embed_w.0.weight", other="resize=cv2", needs=("yacs", "timm"),
    ),
    Case(
        "clipreid",
        _checkout_entry(
            "clipreid", "Syliz517+CLIP-ReID", CLIPREID, "camera=data", "set=MODEL.SIE_CAMERA,True",
            "set=MODEL.SIE_COE,1.0",
        ),
        clipreid, "image_encoder.ln_post.weight", other="resize=cv2", needs=("yacs", "timm"),
    ),
]  # fmt: skip
BY_NAME = {case.name: case for case in CASES}
