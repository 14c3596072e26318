"""A plugin whose networks end the program."""

import sys

from tiny_model import Tiny

from torchreid_adv.registry import MODELS


class Leaving(Tiny):
    def forward(self, images):
        sys.exit(0)


@MODELS.register("leaves_at_build")
def leaves_at_build(num_classes, loss="softmax", pretrained=False, use_gpu=False):
    sys.exit(0)


@MODELS.register("leaves_at_forward")
def leaves_at_forward(num_classes, loss="softmax", pretrained=False, use_gpu=False):
    return Leaving()
