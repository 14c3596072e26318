import pytest
import standins
from scripts.tiny_resnet import TinyResNet

from torchreid_adv.models.self_attack import layers

COMPUTING = (
    "engines.trained._train",
    "experiments.learned.train_quietly",
    "runs.attack_dataset.attack_targets",
    "runs.grid.extract",
    "experiments.papers.vi_video.train_quietly",
)


@pytest.fixture(scope="session")
def github(tmp_path_factory):
    """A folder in which torchreid lies as in its GitHub repository."""
    return standins.write_github_layout(tmp_path_factory.mktemp("github"))


@pytest.fixture(scope="module")
def no_pages():
    """Reports of each attack are tested elsewhere, and take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "torchreid_adv.runs.attack_dataset.write_report", lambda out, *rest: out / "report.html"
        )
        yield


@pytest.fixture
def nothing_is_computed(monkeypatch):
    """Training, attacking and extracting features fail from here on."""

    def forbidden(*arguments, **keywords):
        raise AssertionError("computed again")

    for name in COMPUTING:
        monkeypatch.setattr(f"torchreid_adv.{name}", forbidden)


@pytest.fixture(scope="module")
def tiny_resnet18():
    """The video network on eight channels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers.models, "resnet18", TinyResNet)
        yield
