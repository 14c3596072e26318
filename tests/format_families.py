"""The families of the acceptance table, each with its source's own extractor."""

from __future__ import annotations

from pathlib import Path
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


def _layumi_source(kind):
    folder = checkout("layumi+Person_reID_baseline_pytorch")
    plain = torchvision.models.resnet50
    with Importing(folder), mock.patch.object(
        torchvision.models, "resnet50", lambda **_: plain(weights=None)
    ):
        missing = {name: mock.MagicMock() for name in ("pretrainedmodels", "timm", "efficientnet_pytorch", "pytorch_metric_learning")}
        with mock.patch.dict("sys.modules", missing):
            import model as theirs
    with mock.patch.object(torchvision.models, "resnet50", lambda **_: plain(weights=None)):
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
    plain = torchvision.models.resnet50
    network = filled(theirs.resnet50(pretrained=False, num_classes=0, norm=True, pooling_type="gem"))
    assert plain is torchvision.models.resnet50
    return network.state_dict(), extractor(network, bicubic((256, 128)))


CASES = [
    Case("layumi", _layumi_folder("stride: 1\nPCB: false\n"), layumi, "classifier.add_block.0.weight"),
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
]
BY_NAME = {case.name: case for case in CASES}
