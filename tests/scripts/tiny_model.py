"""A plugin: a network so small that what a job does around it takes the time."""

from torch import nn

from torchreid_adv.registry import MODELS


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 5, stride=4)
        self.norm = nn.BatchNorm2d(8)
        self.linear = nn.Linear(8 * 8 * 4, 16)
        self.pool = nn.AdaptiveAvgPool2d((8, 4))

    def forward(self, images):
        maps = self.pool(self.norm(self.conv(images)).relu())
        return self.linear(maps.flatten(1))


@MODELS.register("tiny")
def tiny(num_classes, loss="softmax", pretrained=False, use_gpu=False):
    return Tiny()


class TinyClassifier(Tiny):
    """The same with a classifier on its features, as torchreid's networks have one."""

    def __init__(self, num_classes, loss):
        super().__init__()
        self.classifier, self.loss = nn.Linear(16, num_classes), loss

    def forward(self, images):
        features = super().forward(images)
        if not self.training:
            return features
        logits = self.classifier(features)
        return (logits, features) if self.loss == "triplet" else logits


@MODELS.register("tiny_classifier")
def tiny_classifier(num_classes, loss="softmax", pretrained=False, use_gpu=False):
    return TinyClassifier(num_classes, loss)
