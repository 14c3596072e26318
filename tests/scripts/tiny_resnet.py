"""A ResNet of eight channels, by torchvision's names: the video network in a moment."""

from torch import nn
from torchvision.models.resnet import BasicBlock

WIDTHS = (8, 8, 16, 16)


class TinyResNet(nn.Module):
    def __init__(self, **kwargs):
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 7, stride=2, padding=3, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(WIDTHS[0]), nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        width = WIDTHS[0]
        for number, planes in enumerate(WIDTHS, 1):
            stride = 1 if number == 1 else 2
            shortcut = None
            if stride > 1 or planes != width:
                convolution = nn.Conv2d(width, planes, 1, stride=stride, bias=False)
                shortcut = nn.Sequential(convolution, nn.BatchNorm2d(planes))
            block = BasicBlock(width, planes, stride, shortcut)
            setattr(self, f"layer{number}", nn.Sequential(block))
            width = planes
