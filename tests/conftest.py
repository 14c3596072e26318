import os

import pytest
import standins
from markets import write_market

from torchreid_adv import config
from torchreid_adv.data.own import entries
from torchreid_adv.report.style import FORMATS

COMPUTING = (
    "engines.trained._train",
    "experiments.learned.train_quietly",
    "runs.attack_dataset.attack_targets",
    "runs.grid.extract",
    "experiments.papers.vi_video.train_quietly",
)


def pytest_configure(config):
    """Tests compare with what a CPU computes, but those marked gpu, run by ``-m gpu``."""
    chosen = config.getoption("markexpr", "")
    if "gpu" not in chosen or "not gpu" in chosen:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


# files with few, long tests; started last, they would keep one process busy alone
LONG = (
    "docs_runs/",
    "test_docs",
    "golden/",
    "cli/test_run_script",
    "python/",
    "test_house",
    "gpu/",
)


def pytest_collection_modifyitems(items):
    """Put files with long tests first; the order within a file stays."""
    tests = os.path.dirname(__file__)
    items.sort(key=lambda item: not os.path.relpath(item.path, tests).startswith(LONG))


@pytest.fixture(autouse=True)
def fresh_config():
    """No test sees another one's config."""
    config.forget()
    yield
    config.forget()


@pytest.fixture(autouse=True, scope="module")
def no_pdf_files(request):
    """Only tests in report/ write figures as PDF, whose fonts take a third of a page's time."""
    formats = FORMATS if request.path.parent.name == "report" else FORMATS[:1] + FORMATS[2:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torchreid_adv.report.style.FORMATS", formats)
        yield


@pytest.fixture(autouse=True, scope="module")
def no_own_sets():
    """No module of tests sees the lists and folders that another one used."""
    yield
    entries.forget_all()


@pytest.fixture
def market(tmp_path):
    """A small data set in Market-1501's layout, images of three sizes."""
    return write_market(tmp_path / "data", sizes=((64, 32), (70, 29), (50, 40)))


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
    from scripts.tiny_resnet import TinyResNet

    from torchreid_adv.models.self_attack import layers

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers.models, "resnet18", TinyResNet)
        yield
