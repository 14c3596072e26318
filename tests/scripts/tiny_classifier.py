"""A plugin: the tiny network with a classifier, which can be trained."""

from scripts.tiny_model import TinyClassifier

from torchreid_adv.registry import MODELS


@MODELS.register("tiny_classifier", force=True)
def tiny_classifier(num_classes, loss="softmax", pretrained=True, use_gpu=False):
    return TinyClassifier(num_classes, loss)
