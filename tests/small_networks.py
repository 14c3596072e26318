"""Every network of torchreid and every victim of ours in a moment, none in another's place."""

import torch
from scripts.tiny_model import TinyClassifier
from scripts.tiny_resnet import WIDTHS, TinyResNet
from torch import nn

from torchreid_adv.integration import models
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models.loaders import Loaded
from torchreid_adv.models.self_attack import layers
from torchreid_adv.registry import LOADERS, MODELS

VICTIMS = ("agw_resnet50", "ibn_resnet101", "ide_resnet50", "pcb_resnet50", "sb_resnet50")


class Small(TinyClassifier):
    """A tiny network that takes the checkpoints of its own name alone, as large ones do."""

    def __init__(self, name, num_classes, loss="softmax"):
        super().__init__(num_classes, loss)
        self.register_buffer(f"of_{name}", torch.ones(1))


class Stills(TinyResNet):
    """A ResNet as torchreid has one, whose weights the video network starts from."""

    def __init__(self, num_classes, loss="softmax", pretrained=True, use_gpu=True):
        super().__init__()
        self.classifier, self.loss = nn.Linear(WIDTHS[-1], num_classes), loss

    def forward(self, images):
        maps = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        features = self.layer4(self.layer3(self.layer2(self.layer1(maps)))).mean((2, 3))
        return self.classifier(features) if self.training else features


def factory(name):
    """Return what builds a network, with the signature of torchreid's model factory."""

    def build(num_classes, loss="softmax", pretrained=True, use_gpu=True):
        return Small(name, num_classes, loss)

    return build


def swap(patch, *, victims=True):
    """Put small networks in the place of torchreid's, and of ours for images."""
    stock = vars(torchreid_module("models"))["__model_factory"]
    for name in set(stock) - set(MODELS):  # ours are there, too, while hooks are installed
        patch.setitem(stock, name, factory(name))
    patch.setitem(stock, "resnet18", Stills)
    patch.setattr(models, "INPUT_SIZES", {})  # small ones take any size
    for name in ("resnet18", "resnet50"):
        patch.setattr(layers.models, name, TinyResNet)
    for name in VICTIMS if victims else ():
        assert name in MODELS
        patch.setitem(MODELS._entries, name, factory(name))


def swap_foreign(patch):
    """Put small networks in the place of those whose packages need not be installed here."""

    def loader(name, *parts):
        def load(request):
            *_, file = request.taken(*parts)
            return Loaded(request.state(file).into(Small(name, 4)))

        return load

    patch.setitem(LOADERS._entries, "fastreid", loader("fastreid", "CFG.yml", "FILE"))
    patch.setitem(LOADERS._entries, "timm", loader("timm", "NAME", "FILE"))


def write_checkpoint(path, name, *, classes=4, seed=0):
    """Write what torchreid saves of a network after training."""
    torch.manual_seed(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = Small(name, classes).state_dict()
    torch.save({"state_dict": state, "epoch": 60, "rank1": 0.5}, path)
