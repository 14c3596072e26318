"""Pixels of tracklets to features: lengths, clips, pooling, files."""

import pytest
import torch
from PIL import Image
from torch import nn

from torchreid_adv.errors import ConfigError
from torchreid_adv.models import PixelModel
from torchreid_adv.models.loading import build_network
from torchreid_adv.models.tracklet_model import TrackletModel, of_tracklets


class Frames(nn.Module):
    """Describes an image by its mean color."""

    def forward(self, images):
        return images.mean((2, 3))


class Clips(nn.Module):
    """Describes a tracklet by how its colors change, and by its modality."""

    takes_tracklets = True

    def forward(self, clips, modality=None):
        weights = torch.arange(1.0, clips.shape[1] + 1)[None, :, None]
        known = 0 if modality is None else modality[:, None]
        return (clips.mean((3, 4)) * weights).sum(1) + known


@pytest.fixture
def clips():
    return torch.rand(2, 5, 3, 12, 8, generator=torch.Generator().manual_seed(0))


def test_a_shorter_tracklet_on_the_canvas_is_the_tracklet_alone(clips):
    model = TrackletModel(Clips(), size=(10, 6))
    sizes = torch.tensor([12, 8]).repeat(2, 5, 1)
    sizes[1, 3:] = 0
    modality = torch.tensor([0, 1])
    found = model(clips, sizes=sizes, modality=modality)
    assert torch.allclose(found[0], model(clips[:1], modality=modality[:1])[0])
    assert torch.allclose(found[1], model(clips[1:, :3], modality=modality[1:])[0])
    assert not torch.allclose(found[1], model(clips[1:], modality=modality[1:])[0])


def test_features_of_clips_are_averaged_and_the_last_goes_round(clips):
    model = TrackletModel(Clips(), size=(12, 8), clip=2)
    plain = TrackletModel(Clips(), size=(12, 8))
    parts = [plain(clips[:, rows]) for rows in ([0, 1], [2, 3], [4, 4])]
    assert torch.allclose(model(clips), torch.stack(parts).mean(0), atol=1e-6)


@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_features_of_images_are_pooled_as_torchreid_does(clips, pooling):
    image = PixelModel(Frames(), size=(10, 6))
    tracks = image(clips).view(2, 5, -1)
    expected = tracks.mean(1) if pooling == "avg" else tracks.max(1)[0]
    assert torch.equal(of_tracklets(image, pooling=pooling)(clips), expected)


def test_files_of_different_lengths_and_modalities():
    generator = torch.Generator().manual_seed(1)
    images = [
        Image.fromarray(torch.randint(256, (9, 7, 3), generator=generator).byte().numpy())
        for _ in range(5)
    ]
    model = TrackletModel(Clips(), size=(9, 7))
    transform = model.file_transform()
    inputs = [transform(images[:3]), transform(images[3:])]
    found = model.of_files(inputs, modality=torch.tensor([0, 1]))
    for row, clip in enumerate(inputs):
        alone = model.of_files([clip], modality=torch.tensor([row]))
        assert torch.equal(found[row], alone[0])


def test_the_video_network_is_loaded_as_one_of_tracklets(tmp_path):
    torch.manual_seed(0)
    network = build_network("self_attack_video_resnet18", classes=2)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "video.pth")
    from torchreid_adv.models import load_model

    model = load_model("self_attack_video_resnet18", tmp_path / "video.pth", size=(32, 16))
    clips = torch.rand(2, 3, 3, 32, 16)
    found = model(clips, modality=torch.tensor([0, 1]))
    assert found.shape == (2, network.feature_dim)
    with torch.no_grad():
        alone = network(model.normalize(clips), torch.tensor([0, 1]))
    assert torch.allclose(found, alone, atol=1e-5)


def test_a_wrong_pooling_is_an_error():
    with pytest.raises(ConfigError, match="pooling is avg, max"):
        TrackletModel(Frames(), pooling="mean")
