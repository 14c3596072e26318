"""The grammar of entries, options of formats, cameras, and modules that say what they take."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import torchreid_adv as adv
from torchreid_adv import cli
from torchreid_adv.config.torchreid_keys import default_config
from torchreid_adv.core.batch import Batch
from torchreid_adv.core.manifest import read_manifest
from torchreid_adv.data.records import Record, camera_labels
from torchreid_adv.defenses import Defended, build_defense
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.experiments.learned import learning_settings, source_models, way
from torchreid_adv.models import Ensemble, PixelModel
from torchreid_adv.models.entries import Entry, parse_entry, sources, written
from torchreid_adv.models.loading import build_network
from torchreid_adv.models.prepare import prepared
from torchreid_adv.models.preprocessing import Preprocessing
from torchreid_adv.models.specs import parse_models
from torchreid_adv.models.stated import INTERPOLATIONS
from torchreid_adv.registry import LOADERS
from torchreid_adv.runs.inputs import load_spec
from torchreid_adv.runs.verify import told_resize

SIZE = (32, 16)
ENTRIES = {
    "osnet_x1_0:w.pth": Entry("osnet_x1_0", "w.pth"),
    "a-b=osnet_x1_0@256x128:w.pth": Entry("osnet_x1_0", "w.pth", "a-b", (256, 128)),
    "x=onnx@1e-3,2,3/.5:n": Entry("onnx", "n", "x", None, ((0.001, 2.0, 3.0), (0.5,))),
    "fastreid@set=A.B,1@set=C,[2,3]:c.yml:w": Entry(
        "fastreid", "c.yml:w", options={"set": ("A.B,1", "C,[2,3]")}
    ),
    "x=hf@take=last_hidden_state.0@flip=sum:org/n": Entry(
        "hf", "org/n", "x", options={"take": "last_hidden_state.0", "flip": "sum"}
    ),
    "timm@8x4@0/1:hf_hub:org/name": Entry("timm", "hf_hub:org/name", "", (8, 4), ((0.0,), (1.0,))),
    "x=python:mod:build(name='a@b=c:d')": Entry("python", "mod:build(name='a@b=c:d')", "x"),
    "some-net.v2": Entry("some-net.v2"),
}


@pytest.mark.parametrize("text", ENTRIES)
def test_entries_are_read_and_written(text):
    entry = parse_entry(text)
    assert entry == ENTRIES[text]
    label = f"{entry.label}=" if entry.label else ""
    source = f":{entry.source}" if entry.source else ""
    assert parse_entry(f"{label}{written(entry.name, entry)}{source}") == entry


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        ("w.pth", ["w.pth"]),
        ("cfg.yml:w.pth", ["cfg.yml", "w.pth"]),
        (r"C:\a\w.pth", [r"C:\a\w.pth"]),
        (r"cfg.yml:C:/a/w.pth", ["cfg.yml", "C:/a/w.pth"]),
        ("name:hf:org/n/w.pth", ["name", "hf:org/n/w.pth"]),
        ("hf_hub:org/n", ["hf_hub:org/n"]),
    ],
)
def test_sources_are_split_at_colons(text, parts):
    assert sources(text) == parts


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a@b:w", "'@b' is not an option"),
        ("a@256x128@64x32:w", "says size twice"),
        ("a@take=1@take=2:w", "says take twice"),
        ("a@tak=1:w", "unknown option 'tak'; did you mean 'take'"),
        ("a@resize=bilinear:w", "resize is one of pillow, bicubic"),
        ("a@range=128:w", "range is one of 1, 255"),
        ("", "names no model"),
        ("b/c=x:w", "names no model"),
    ],
)
def test_other_forms_are_named(text, words):
    with pytest.raises(ConfigError, match=words):
        parse_entry(text)


def test_specs_keep_all_options():
    entry = "x=fastreid@256x128@0.5/0.25@set=A,1@set=B,2@flip=sum:c.yml:w.pth"
    (spec,) = parse_models([entry])
    assert parse_models([spec.entry]) == [spec]
    assert spec.parts == parse_entry(entry)


@pytest.mark.parametrize("entry", ["x=resnet50@0.5/0.5", "resnet50@flip=sum"])
def test_a_network_that_is_trained_first_takes_a_size_only(entry):
    with pytest.raises(ConfigError, match="trained first"):
        parse_models([entry], trained=False)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("resnet50", "has no weights; write resnet50:"),
        ("resnet5O:w.pth", "did you mean 'resnet50"),
        ("osnet_x1_0@camera=0:w.pth", "takes no option 'camera'"),
        ("torchvision@neck=after:resnet18:w.pth", "takes no option 'neck'"),
        ("onnx@weights=ema:net.onnx", "takes no option 'weights'"),
        ("fastreid:w.pth", r"is written fastreid:CFG\.yml:FILE"),
        ("transreid:a", r"is written transreid:CHECKOUT:CFG\.yml:FILE"),
        ("transreid:a:b", r"no checkout of transreid is on PYTHONPATH"),
        ("transreid:a:b:c", "is not a checkout of transreid"),
        ("bagtricks:w.pth", r"write bagtricks@neck=after:FILE"),
        ("torchvision:resnet5O", "did you mean 'resnet50'"),
        ("reid:nothing", "there is no folder"),
        ("python:mod:build(1)", r"module:function\(key=value"),
        ("python:mod:build(a=open)", r"module:function\(key=value"),
        ("python:mod:build(**{})", r"module:function\(key=value"),
        ("osnet_x0_25:hf:name", "is written hf:ORG/NAME/FILE"),
    ],
)
def test_what_cannot_be_loaded_is_said(entry, words):
    with pytest.raises(ConfigError, match=words):
        adv.load_model(entry, device="cpu")


def test_every_format_shows_an_entry_that_can_be_read():
    for name in LOADERS:
        example = LOADERS.facts(name)["example"]
        assert parse_entry(example).name == name
        assert LOADERS.get(name).__doc__


def test_missing_packages_are_named_with_their_pip_line(monkeypatch, tmp_path):
    import importlib

    real = importlib.import_module
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "w.pth")
    (tmp_path / "c.yml").write_text("MODEL: {}\n")
    (tmp_path / "config").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "reid_config.json").write_text('{"architecture": "timm:resnet18"}')
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "weights.safetensors")
    missing = ("fastreid", "timm", "open_clip", "transformers", "boxmot")

    def refuse(name, *arguments, **keywords):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named '{name}'")
        return real(name, *arguments, **keywords)

    monkeypatch.setattr("importlib.import_module", refuse)
    weights = tmp_path / "w.pth"
    for entry, pip in (
        (f"fastreid:{tmp_path / 'c.yml'}:{weights}", "pip install --no-deps fastreid"),
        (f"timm:resnet18:{weights}", "pip install timm"),
        (f"openclip:RN50:{weights}", "pip install open_clip_torch"),
        (f"hf:{tmp_path}", "pip install transformers"),
        (f"boxmot:lmbn_n:{weights}", "pip install boxmot"),
    ):
        with pytest.raises(ConfigError, match="needs the package") as error:
            adv.load_model(entry, device="cpu")
        assert pip in str(error.value)


NETWORKS = """
from torch import nn

class Small(nn.Module):
    def __init__(self, width=6, bias=True):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 5, 4, bias=bias)

    def forward(self, images):
        return self.conv(images).mean((2, 3))

def build(**keywords):
    return Small(**keywords)

def known():
    made = Small()
    made.pretrained_cfg = {"input_size": (3, 48, 24), "mean": (0.5,) * 3, "std": (0.25,) * 3,
                           "interpolation": "bicubic"}
    return made
"""


@pytest.fixture
def functions(tmp_path, monkeypatch):
    (tmp_path / "entry_networks.py").write_text(NETWORKS)
    monkeypatch.syspath_prepend(tmp_path)


def test_a_function_takes_literals(functions):
    model = adv.load_model("python@32x16:entry_networks:build(width=4, bias=False)", device="cpu")
    assert model(torch.rand(2, 3, 8, 8)).shape == (2, 4)
    assert model.network.conv.bias is None


def test_a_module_that_says_what_it_takes_is_believed_and_the_entry_wins(functions, caplog):
    model = adv.load_model("python:entry_networks:known()", device="cpu")
    assert (model.size, model.mean, model.preprocessing.resize) == ((48, 24), (0.5,) * 3, "bicubic")
    model = adv.load_model("python@32x16@resize=cv2:entry_networks:known", device="cpu")
    assert (model.size, model.preprocessing.resize, model.std) == ((32, 16), "cv2", (0.25,) * 3)
    assert "size is (32, 16) as the entry says" in caplog.text


def test_modules_are_wrapped_where_their_input_is_known(functions):
    import entry_networks

    model = adv.load_model(entry_networks.known())
    assert (model.size, model.preprocessing.resize) == ((48, 24), "bicubic")
    assert not model.training
    with pytest.raises(ConfigError, match=r"Small does not say which images.*size=, mean=, std="):
        adv.load_model(entry_networks.build())
    given = {"size": (8, 4), "mean": (0, 0, 0), "std": (1, 1, 1)}
    assert adv.load_model(entry_networks.build(), **given).size == (8, 4)


class OfCamera(nn.Module):
    """Features that depend on the camera."""

    record_labels = ("camera",)

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.embed = nn.Conv2d(3, 6, 5, 4), nn.Parameter(torch.randn(3, 6))

    def forward(self, images, camera):
        return self.conv(images).mean((2, 3)) + self.embed[camera]


IMAGES = torch.rand(4, 3, *SIZE, generator=torch.Generator().manual_seed(0))
CAMERAS = torch.tensor([0, 1, 2, 1])


def test_cameras_reach_the_network_by_every_way():
    model = PixelModel(OfCamera(), size=SIZE).eval()
    expected = model.network(model.normalize(IMAGES), CAMERAS)
    batch = Batch(IMAGES, camids=CAMERAS)
    assert torch.equal(model(IMAGES, camera=CAMERAS), expected)
    assert torch.equal(batch.embed(model)(IMAGES), expected)
    with torch.no_grad(), prepared(model, IMAGES) as ready:
        assert torch.allclose(batch.embed(ready)(IMAGES), expected, atol=1e-6)
    defended = Defended(build_defense("bit_depth", bits=8), model)
    assert torch.allclose(batch.embed(defended)(IMAGES), expected, atol=1e-2)
    plain = PixelModel(nn.Sequential(nn.Conv2d(3, 2, 5, 4), nn.Flatten()), size=SIZE).eval()
    both = Ensemble([model, plain]).eval()
    assert batch.embed(both)(IMAGES).shape[0] == 4
    inputs = list(model.normalize(IMAGES))
    assert torch.equal(model.of_files(inputs, camera=CAMERAS), expected)
    attack = adv.build_attack("sma", eps=8 / 255, steps=2)
    attacked = attack(model, batch)
    assert float((attacked.images - IMAGES).abs().max()) > 0


def test_a_camera_that_is_not_given_is_never_guessed():
    model = PixelModel(OfCamera(), size=SIZE).eval()
    for call in (
        lambda: model(IMAGES),
        lambda: model.of_files(list(IMAGES)),
        lambda: model(IMAGES, camera=CAMERAS[:2]),
        lambda: Batch(IMAGES).embed(model)(IMAGES),
    ):
        with pytest.raises(ConfigError, match="needs the camera of each image"):
            call()


def test_records_give_their_labels(tmp_path):
    records = [Record("a", tmp_path, 1, 2), Record("b", tmp_path, 1, 0)]
    assert camera_labels(records, ("camera",))["camera"].tolist() == [2, 0]
    assert camera_labels(records, ()) == {}
    with pytest.raises(DataError, match="takes the view"):
        camera_labels(records, ("view",))


@pytest.fixture
def market_data(market):
    return adv.load_dataset("market1501", root=market)


def test_cameras_of_a_data_set_reach_the_model_in_runs(market_data, tmp_path):
    model = PixelModel(OfCamera(), size=SIZE).eval()
    model.network.embed = nn.Parameter(torch.randn(16, 6))
    records = market_data.gallery
    found = adv.extract(model, records)
    transform = model.file_transform()
    inputs = torch.stack([transform(Image.open(record.path).convert("RGB")) for record in records])
    cameras = torch.tensor([record.camid for record in records])
    with torch.no_grad():
        assert torch.allclose(found.values, model.network(inputs, cameras), atol=1e-5)
    attack = adv.build_attack("ifgsm", eps=8 / 255, steps=2)
    attacked = adv.attack_dataset(model, market_data, attack, out=tmp_path / "run")
    assert adv.evaluate(model, attacked).mAP <= adv.evaluate(model, market_data).mAP
    moved = adv.extract(model, attacked.gallery)
    assert not torch.allclose(moved.values, found.values)


RESIZED = ("pillow", "bicubic", "cv2", "cv2_cubic", "letterbox")


def resizing(way):
    return adv.load_model(f"python@32x16@resize={way}:entry_networks:build", device="cpu")


def attacked_at_network_size(model, data, out):
    attack = adv.build_attack("fgsm", eps=8 / 255)
    adv.attack_dataset(model, data, attack, out=out, space="network")
    return out / data.name / "adversarial"


def as_the_file_transform(model, path):
    """Whole levels of an image at a model's size, taken out of what its scores use."""
    plain = model.preprocessing.file_transform()(Image.open(path).convert("RGB"))
    mean, std = model.moments(plain)
    return ((plain * std + mean) * 255).round().permute(1, 2, 0).to(torch.int16).numpy()


@pytest.mark.parametrize("way", RESIZED)
def test_images_are_stored_and_verified_as_the_network_resizes(
    way, functions, market_data, tmp_path
):
    model = resizing(way)
    folder = attacked_at_network_size(model, market_data, tmp_path / "run")
    assert cli.main(["verify", str(folder), "--root", str(market_data.root)]) == 0
    entries = [entry for entry in read_manifest(folder).stored if entry.attacked]
    assert entries
    for entry in entries:
        original = as_the_file_transform(model, market_data.root / entry.source)
        stored = np.array(Image.open(folder / entry.output)).astype(np.int16)
        assert np.abs(stored - original).max() == entry.linf <= 8
    other = resizing(RESIZED[RESIZED.index(way) - 1])
    with pytest.raises(ConfigError, match="belongs to another run"):
        attacked_at_network_size(other, market_data, tmp_path / "run")


def test_models_that_resize_differently_are_not_attacked_at_one_size(
    functions, market_data, tmp_path
):
    ensemble = Ensemble([resizing("pillow"), resizing("bicubic")])
    with pytest.raises(ConfigError, match="resize by bicubic, pillow; use space stored"):
        attacked_at_network_size(ensemble, market_data, tmp_path / "run")


@pytest.mark.parametrize(
    "told",
    ["bicubic", {"resize": "cubic"}, {"size": [1, 1]}, {"letterbox": "left"}, {"pad": ["a"] * 3},
     {"letterbox": "center", "pad": [1, 2]}, {"resize": ["cv2"]}, {"pad": None}],
)  # fmt: skip
def test_a_resize_that_no_run_can_tell_of_is_refused(told):
    with pytest.raises(DataError, match="unknown here"):
        told_resize((32, 16), told)


@pytest.mark.parametrize("way", RESIZED)
def test_a_resize_that_a_run_tells_of_is_the_same_one(way):
    parts = {"letterbox": "corner"} if way == "letterbox" else {"resize": way}
    resize = Preprocessing((32, 16), **parts).of_files
    again = told_resize((32, 16), json.loads(json.dumps(resize.facts())))
    image = np.random.default_rng(0).integers(0, 256, (40, 24, 3), dtype=np.uint8)
    assert np.array_equal(resize.levels(image), again.levels(image))
    assert resize.levels(image).shape == (32, 16, 3)


@pytest.mark.parametrize("said", ["", "@resize=cv2"])
@pytest.mark.parametrize(("named", "resize"), INTERPOLATIONS.items())
def test_the_config_says_how_images_are_resized_where_nobody_else_does(
    said, named, resize, functions
):
    cfg = default_config(use_gpu=False)
    cfg.data.height, cfg.data.width, cfg.adv.data.interpolation = 32, 16, named
    (spec,) = parse_models([f"python{said}:entry_networks:build"])
    assert load_spec(cfg, spec).preprocessing.resize == ("cv2" if said else resize)


@pytest.mark.parametrize("said", ["resize=cv2", "order=bgr", "flip=sum", "0.5/0.25"])
def test_nothing_is_learned_from_images_that_are_prepared_otherwise(said):
    (victim,) = source_models([f"A-market1501=osnet_x1_0@{said}:w.pth"])
    with pytest.raises(ConfigError, match="may only set @HEIGHTxWIDTH"):
        learning_settings(default_config(use_gpu=False), victim, way("delta", "source", 8))


def saved(name, path, classes=7):
    torch.manual_seed(0)
    network = build_network(name, classes=classes)
    torch.save({"state_dict": network.state_dict()}, path)
    return network


@pytest.mark.parametrize(
    "name",
    [
        "osnet_x0_25",
        "shufflenet",
        pytest.param("osnet_ain_x0_25", marks=pytest.mark.slow),
        pytest.param("squeezenet1_0", marks=pytest.mark.slow),
    ],
)
def test_a_checkpoint_alone_is_told_by_its_tensors(name, tmp_path, caplog):
    path = tmp_path / "best run.pth"
    network = saved(name, path)
    caplog.set_level("INFO", logger="torchreid_adv")
    model = adv.load_model(str(path), size=(64, 32), device="cpu")
    images = torch.rand(2, 3, 64, 32)
    with torch.no_grad():
        assert torch.allclose(model(images), network(model.normalize(images)), atol=1e-5)
    assert f"is taken for {name}" in caplog.text
    (spec,) = parse_models([str(path)])
    assert (spec.label, spec.name, spec.weights) == ("best_run.pth", name, str(path))
    (spec,) = parse_models([f"mine={path}"])
    assert (spec.label, spec.name) == ("mine", name)


def test_a_checkpoint_of_none_or_of_several_is_refused_with_what_to_write(tmp_path):
    path = tmp_path / "x.pth"
    torch.save(
        {"cls_token": torch.rand(1, 1, 4), "blocks.0.attn.qkv.weight": torch.rand(12, 4)}, path
    )
    with pytest.raises(ConfigError, match=r"fits no network of torchreid.*vision transformer"):
        adv.load_model(str(path))
    state = build_network("osnet_x0_25").state_dict()
    state.pop("conv5.conv.weight")
    torch.save(state, path)
    with pytest.raises(ConfigError, match=r"fits no network.*FORMAT:"):
        adv.load_model(str(path))


def test_every_place_takes_an_entry_or_a_module(market_data, tmp_path, functions):
    saved("osnet_x0_25", tmp_path / "w.pth")
    entry = f"osnet_x0_25@64x32:{tmp_path / 'w.pth'}"
    whole = adv.load_model(entry)
    assert adv.evaluate(entry, market_data).mAP == adv.evaluate(whole, market_data).mAP
    import entry_networks

    assert adv.evaluate(entry_networks.known(), market_data).mAP > 0
    attack = adv.build_attack("fgsm", eps=8 / 255)
    attacked = adv.attack_dataset(entry, market_data, attack, out=tmp_path / "run")
    assert len(attacked.gallery) == len(market_data.gallery)
    with pytest.raises(ConfigError, match="does not say which images"):
        adv.evaluate(entry_networks.build(), market_data)
