import multiprocessing
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from torchvision.transforms import ToTensor
from trees import MAKERS

from torchreid_adv import config
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.integration import hooks
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.registry import DATASETS, MODELS, READERS, SAMPLERS, TRANSFORMS

PLACES = [
    ("data.transforms", "build_transforms"),
    ("data.datamanager", "build_transforms"),
    ("data.sampler", "build_train_sampler"),
    ("data.datamanager", "build_train_sampler"),
    ("data.datamanager", "init_image_dataset"),
    ("data.datamanager", "init_video_dataset"),
    ("data.datasets.dataset", "read_image"),
    ("utils", "read_image"),
    ("utils.tools", "read_image"),
    ("utils", "check_isfile"),
    ("utils.tools", "check_isfile"),
    ("utils.feature_extractor", "check_isfile"),
    ("utils", "load_checkpoint"),
    ("utils.torchtools", "load_checkpoint"),
    ("utils", "load_pretrained_weights"),
    ("utils.torchtools", "load_pretrained_weights"),
    ("utils.feature_extractor", "load_pretrained_weights"),
    ("utils", "resume_from_checkpoint"),
    ("utils.torchtools", "resume_from_checkpoint"),
    ("models", "build_model"),
    ("utils.feature_extractor", "build_model"),
]
TABLES = [
    ("data.datasets", "__image_datasets"),
    ("data.datasets", "__video_datasets"),
    ("models", "__model_factory"),
]


def functions() -> list[object]:
    found = [vars(torchreid_module(module))[name] for module, name in PLACES]
    return [*found, vars(torchreid_module("engine.engine").Engine)["run"]]


def tables() -> list[dict]:
    return [dict(vars(torchreid_module(module))[name]) for module, name in TABLES]


def datamanager(root, **options):
    kind = options.pop("kind", "Image")
    settings = {
        "sources": "market1501",
        "height": 64,
        "width": 32,
        "workers": 0,
        "batch_size_train": 4,
        "use_gpu": False,
        **options,
    }
    return getattr(torchreid_module("data"), f"{kind}DataManager")(root=str(root), **settings)


def test_install_is_idempotent_and_uninstall_restores_identity():
    stock, names = functions(), tables()
    hooks.install()
    try:
        first = functions()
        assert not any(a is b for a, b in zip(stock, first, strict=True))
        hooks.install()
        with hooks.installed():
            assert functions() == first
        assert hooks.is_installed()
        assert functions() == first
        assert {"tiny_market"} <= set(tables()[0]) - set(names[0])
        assert {"tiny_tracklets"} <= set(tables()[1]) - set(names[1])
        assert {"tiny_net"} <= set(tables()[2]) - set(names[2])
    finally:
        hooks.uninstall()
    assert all(a is b for a, b in zip(stock, functions(), strict=True))
    assert tables() == names
    assert not config.on_setup
    hooks.uninstall()


def test_installed_takes_the_hooks_back_after_an_error():
    stock = functions()
    with pytest.raises(RuntimeError), hooks.installed():
        raise RuntimeError
    assert functions() == stock


def test_a_name_of_torchreids_own_is_refused_and_nothing_stays():
    stock, names = functions(), tables()
    MODELS.register("resnet50")(torch.nn.Identity)
    try:
        with pytest.raises(ConfigError, match="'resnet50' already"):
            hooks.install()
        assert functions() == stock
        assert tables() == names
    finally:
        MODELS.remove("resnet50")


def test_an_entry_registered_later_is_there_after_setup(hooked):
    table = vars(torchreid_module("models"))["__model_factory"]
    assert "late_net" not in table
    MODELS.register("late_net")(torch.nn.Identity)
    try:
        config.setup(config.current())
        assert table["late_net"] is torch.nn.Identity
    finally:
        MODELS.remove("late_net")
    hooks.uninstall()
    assert "late_net" not in table


def test_transforms_go_to_their_stage_in_the_given_order(hooked, capsys):
    config.current().adv.transforms["lgt"] = config.AdvConfig({"p": 0.7})
    build = torchreid_module("data.datamanager").build_transforms
    names = ["zero_mean", "LGT", "random_erase", "half_light", "grayscale", "random_flip"]
    train, test = build(64, 32, transforms=names)
    kinds = [type(transform).__name__ for transform in train.transforms]
    assert kinds == [
        *("Resize", "RandomHorizontalFlip", "LocalGrayscale", "Grayscale", "ToTensor"),
        *("HalfLight", "Normalize", "ZeroMean", "RandomErasing"),
    ]
    assert train.transforms[2].p == 0.7
    assert [type(t).__name__ for t in test.transforms] == ["Resize", "ToTensor", "Normalize"]
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("+ ")]
    assert [line.split(" (")[0] for line in lines[1:8]] == [
        *("+ random flip", "+ local grayscale", "+ grayscale", "+ to torch tensor of range [0, 1]"),
        *("+ half light", "+ normalization", "+ zero mean"),
    ]
    assert "+ local grayscale (p=0.7)" in lines
    assert "+ grayscale (p=0.05)" in lines


@pytest.mark.parametrize("names", ["lgt", ["lgt"], None, [], "random_flip"])
def test_transform_names_as_torchreid_takes_them(hooked, names):
    train, _ = torchreid_module("data.transforms").build_transforms(64, 32, names)
    kinds = [type(transform).__name__ for transform in train.transforms]
    assert ("LocalGrayscale" in kinds) == (names in ("lgt", ["lgt"]))
    assert ("RandomHorizontalFlip" in kinds) == (names == "random_flip")


def test_without_our_names_the_train_transform_is_torchreids(hooked):
    names = ["random_flip", "random_crop", "random_patch", "color_jitter", "random_erase"]
    hooked_train, _ = torchreid_module("data.transforms").build_transforms(64, 32, names)
    hooks.uninstall()
    train, _ = torchreid_module("data.transforms").build_transforms(64, 32, names)
    assert [type(t) for t in hooked_train.transforms] == [type(t) for t in train.transforms]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["random_flipp"], "did you mean 'random_flip'"),
        (["greyscale"], "did you mean 'grayscale'"),
        (["lgt", "train.max_epoch", "1"], "swallows"),
    ],
)
def test_unknown_transforms_are_refused(hooked, names, words):
    with pytest.raises(ConfigError, match=words):
        torchreid_module("data.datamanager").build_transforms(64, 32, names)


def test_a_transform_under_a_stock_name_or_without_a_stage_is_refused(hooked):
    build = torchreid_module("data.transforms").build_transforms
    TRANSFORMS.register("random_flip")(ToTensor)
    try:
        with pytest.raises(ConfigError, match="register yours by another name"):
            build(64, 32, ["random_flip"])
    finally:
        TRANSFORMS.remove("random_flip")
    TRANSFORMS.register("stageless")(ToTensor)
    try:
        with pytest.raises(ConfigError, match="stage=None"):
            build(64, 32, ["stageless"])
    finally:
        TRANSFORMS.remove("stageless")


def test_unknown_names_are_refused(hooked, market):
    cases = [
        ({"sources": "market151"}, "did you mean 'market1501'"),
        ({"targets": ["mars"]}, "data.type to 'video'"),
        ({"train_sampler": "RandomIdentity"}, "did you mean 'RandomIdentitySampler'"),
        (
            {"train_sampler": "RandomIdentitySampler", "batch_size_train": 40, "num_instances": 4},
            "a batch takes 10 identities, and a training set has 4; lower train.batch_size",
        ),
    ]
    for options, words in cases:
        with pytest.raises(ConfigError, match=words):
            datamanager(market, **options)
    with pytest.raises(ConfigError, match="'market1501' is a data set of type image"):
        datamanager(market, kind="Video")
    with pytest.raises(ConfigError, match="did you mean 'osnet_x1_0'"):
        torchreid_module("models").build_model("osnet_x10", 4)


def test_plugin_entries_work_in_the_data_managers(hooked, market):
    manager = datamanager(
        market,
        sources=["tiny_market"],
        targets=["market1501"],
        train_sampler="BackwardSampler",
        transforms=["half_light", "lgt"],
        num_instances=3,
    )
    assert type(manager.train_loader.sampler).__name__ == "BackwardSampler"
    assert manager.train_loader.sampler.num_instances == 3
    paths = [path for batch in manager.train_loader for path in batch["impath"]]
    assert paths == [item[0] for item in reversed(manager.train_loader.dataset.train)]
    video = datamanager(market, kind="Video", sources="tiny_tracklets", seq_len=2)
    assert next(iter(video.train_loader))["img"].shape == (4, 2, 3, 64, 32)


def test_two_sources_keep_our_transforms(hooked, market, tmp_path):
    root = Path(shutil.copytree(market, tmp_path / "both"))
    duke = MAKERS["dukemtmcreid"](root)
    manager = datamanager(
        root, sources=["tiny_market", "dukemtmcreid"], targets="market1501", transforms="lgt"
    )
    images = 24 + sum(row.side == "train" for row in duke.rows)
    assert len(manager.train_loader.dataset) == images
    kinds = [type(t).__name__ for t in manager.train_loader.dataset.transform.transforms]
    assert "LocalGrayscale" in kinds


def test_plugin_model_is_built_by_name(hooked):
    model = torchreid_module("models").build_model("tiny_net", 7, pretrained=False, use_gpu=False)
    assert model.classifier.out_features == 7


def test_a_corrupt_image_is_an_error_where_torchreid_waits_for_ever(hooked, market, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 not an image")
    dataset = torchreid_module("data.datasets.dataset").ImageDataset
    items = [(str(tmp_path / "broken.jpg"), 0, 0)]
    with pytest.raises(DataError, match=r"broken\.jpg"):
        dataset(items, items, items, verbose=False)[0]


def test_a_transform_pickled_here_changes_nothing_here(hooked):
    train, _ = torchreid_module("data.transforms").build_transforms(64, 32, "lgt")
    hooks.uninstall()
    stock = functions()
    pickle.loads(pickle.dumps(train))
    assert functions() == stock


class Probe(torch.utils.data.Dataset):
    """A data set that also tells what the process that reads it looks like."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        places = ("utils.tools", "utils", "data.datasets.dataset")
        readers = {vars(torchreid_module(place))["read_image"] for place in places}
        ours = readers == {READERS.get("image")}
        limit = config.current().adv.data.max_pixels
        return self.dataset[index]["img"], ours, limit, multiprocessing.current_process().name


def test_spawned_workers_read_as_their_parent_does(hooked, market):
    config.current().adv.data.max_pixels = 4321
    manager = datamanager(market, transforms=["half_light"], train_sampler="SequentialSampler")
    probe = Probe(manager.train_loader.dataset)
    spawned = torch.utils.data.DataLoader(
        probe, batch_size=8, num_workers=2, multiprocessing_context="spawn"
    )
    here = torch.utils.data.DataLoader(probe, batch_size=8)
    names = set()
    for theirs, ours in zip(spawned, here, strict=True):
        assert torch.equal(theirs[0], ours[0])
        assert theirs[1].all()
        assert (theirs[2] == 4321).all()
        names |= set(theirs[3])
    assert len(names) == 2
    assert multiprocessing.current_process().name not in names


def test_registries_are_the_tables(hooked):
    image, video, models = tables()
    assert all(image[n] is DATASETS.get(n) for n in DATASETS if not DATASETS.facts(n).get("video"))
    assert all(video[n] is DATASETS.get(n) for n in DATASETS if DATASETS.facts(n).get("video"))
    assert all(models[n] is MODELS.get(n) for n in MODELS)
    assert not set(SAMPLERS) & set(torchreid_module("data.sampler").AVAI_SAMPLERS)
