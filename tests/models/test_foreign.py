"""Networks from elsewhere give the features of the module behind them, or are refused."""

import builtins
import io
import json
import pickle
import sys
import types
import warnings
import zipfile

import pytest
import torch
from torch import nn

from torchreid_adv.attacks import GradientAttack, LinfDelta, MetricDistance, References, SignStep
from torchreid_adv.core.batch import Batch
from torchreid_adv.distances import build_distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.models import Features, PixelModel, fingerprint, load_model
from torchreid_adv.models.onnx_weights import external_weights
from torchreid_adv.models.pixel_model import black_box
from torchreid_adv.models.prepare import prepared
from torchreid_adv.models.specs import parse_models

SIZE = (32, 16)
ONNX = pytest.param("onnx", marks=pytest.mark.slow)  # writing one takes seconds
KINDS = ("torchscript", "export", ONNX)
TOLERANCE = {"torchscript": 1e-6, "export": 1e-6, "onnx": 1e-5}
SUFFIX = {"torchscript": ".pt", "export": ".pt2", "onnx": ".onnx"}


class Small(nn.Module):
    def __init__(self, *, seed=0, end=lambda x: x):
        super().__init__()
        torch.manual_seed(seed)
        self.conv, self.norm = nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8)
        self.norm.running_mean.normal_()
        self.last, self.end = nn.Linear(8, 6), end

    def forward(self, x):
        return self.end(self.last(torch.relu(self.norm(self.conv(x))).mean((2, 3))))


def write(network, kind, path, *, dynamic=True):
    images = torch.rand(2, 3, *SIZE)
    shapes = {"x": {0: torch.export.Dim("batch")}} if dynamic else None
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        if kind == "torchscript":
            torch.jit.trace(network, images, check_trace=False).save(str(path))
        elif kind == "export":
            exported = torch.export.export(network, (images,), dynamic_shapes=shapes)
            torch.export.save(exported, path)
        else:
            pytest.importorskip("onnx")
            pytest.importorskip("onnxscript")
            program = torch.onnx.export(
                network, (images,), dynamo=True, dynamic_shapes=shapes, verbose=False
            )
            program.save(path, external_data=False)
    return path


def load(kind, path, **settings):
    if kind == "onnx":
        pytest.importorskip("onnxruntime")
    return load_model(kind, path, size=SIZE, device="cpu", **settings)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    place, network = tmp_path_factory.mktemp("foreign"), Small().eval()
    found = {}

    def path(kind):
        if kind not in found:
            found[kind] = write(network, kind, place / f"net{SUFFIX[kind]}")
        return found[kind]

    return network, path


@pytest.mark.parametrize("kind", ["torchscript", "export", "onnx"])
def test_features_are_the_module_s_for_any_batch_and_size_of_image(kind, written):
    network, path = written
    model, own = load(kind, path(kind)), PixelModel(network, size=SIZE).eval()
    for count, height in ((1, 32), (3, 32), (5, 40)):
        images = torch.rand(count, 3, height, 20)
        with torch.no_grad():
            difference = (model(images) - own(images)).abs().max()
        assert float(difference) <= TOLERANCE[kind]
    with torch.no_grad(), prepared(model, images) as ready:
        assert float((ready(images) - own(images)).abs().max()) <= 1e-5


def attack(model, network):
    images = torch.rand(2, 3, *SIZE)
    with torch.no_grad():
        values = PixelModel(network, size=SIZE).eval()(images) + 0.1
    features = Features(values, torch.arange(2), torch.ones(2).long(), ("a", "b"))
    rule = lambda parameters: SignStep(parameters, lr=2 / 255)  # noqa: E731
    objective = MetricDistance(build_distance("euclidean", normalize=True))
    batch = Batch(images, pids=torch.arange(2), camids=torch.zeros(2).long())
    return GradientAttack(objective, LinfDelta(8 / 255), rule, 5)(
        model, batch, References(features)
    )


@pytest.mark.parametrize("kind", KINDS[:2])
def test_programs_are_attacked_as_the_module_is(kind, written):
    network, path = written
    torch.manual_seed(1)
    found = attack(load(kind, path(kind)), network)
    torch.manual_seed(1)
    expected = attack(PixelModel(network, size=SIZE).eval(), network)
    assert float((found.after - found.before).min()) > 0
    assert torch.allclose(found.after, expected.after, atol=1e-4)


def test_onnx_has_no_gradient_and_says_so(written):
    network, path = written
    model = load("onnx", path("onnx"))
    assert black_box(model) == "an ONNX file"
    assert not black_box(PixelModel(network))
    with pytest.raises(ConfigError, match=r"has no gradient .*square, nes or spsa"):
        attack(model, network)


@pytest.mark.parametrize("kind", KINDS)
def test_files_tell_networks_apart_and_stay_in_eval_mode(kind, written, tmp_path):
    _, path = written
    model = load(kind, path(kind))
    other = write(Small(seed=1).eval(), kind, tmp_path / f"other{SUFFIX[kind]}")
    assert fingerprint(model.network) == fingerprint(load(kind, path(kind)).network)
    assert fingerprint(model.network) != fingerprint(load(kind, other).network)
    before = model(torch.ones(2, 3, *SIZE) / 2)
    model.train()
    assert torch.equal(model(torch.ones(2, 3, *SIZE) / 2), before)


class Rows(nn.Module):
    """Takes two images, no more and no less."""

    def forward(self, x):
        return x.mean((2, 3)).reshape(2, 3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda x: (x, x), "gives a tuple|gives a dict"),
        (lambda x: x[:, :, None].repeat(1, 1, 2), r"gives float32 \(3, 6, 2\)"),
        (lambda x: x.argmax(1, keepdim=True), r"gives int64 \(3, 1\)|in float32"),
        (lambda x: x.mean(0), r"gives float32 \(6,\)"),
        (lambda x: x / 0, "NaN or infinity"),
    ],
)
def test_answers_that_are_no_features_are_refused(kind, end, reason, tmp_path):
    path = write(Small(end=end).eval(), kind, tmp_path / f"net{SUFFIX[kind]}")
    with pytest.raises(ConfigError, match=reason):
        load(kind, path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_fixed_batches_is_asked_for_groups_of_their_length(kind, tmp_path):
    network = Rows() if kind == "torchscript" else Small().eval()
    path = write(network, kind, tmp_path / f"net{SUFFIX[kind]}", dynamic=False)
    model = load(kind, path)
    assert model.network.batch == 2
    images = torch.rand(5, 3, *SIZE)
    with torch.no_grad():
        expected = [PixelModel(network, size=SIZE).eval()(images[[n, n]])[0] for n in range(5)]
        for count in (1, 2, 5):
            found = model(images[:count])
            assert torch.allclose(found, torch.stack(expected[:count]), atol=TOLERANCE[kind])


def test_a_network_written_in_train_mode_is_refused(tmp_path):
    path = write(Small().train(), "torchscript", tmp_path / "net.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Around(Small().train())).save(str(tmp_path / "scripted.pt"))
    with pytest.raises(ConfigError, match="written in train mode"):
        load("torchscript", path)
    load("torchscript", tmp_path / "scripted.pt")  # whose flags can still be set


class Around(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.conv, self.norm = network.conv, network.norm

    def forward(self, x):
        return self.norm(self.conv(x)).mean((2, 3))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrong", ["none", "text", "checkpoint", "cut", "folder"])
def test_files_of_another_kind_are_refused(kind, wrong, written, tmp_path):
    pytest.importorskip("onnxruntime")
    path = tmp_path / "model.bin"
    if wrong == "text":
        path.write_text("not a network")
    elif wrong == "checkpoint":
        torch.save(Small().state_dict(), path)
    elif wrong == "cut":
        content = written[1](kind).read_bytes()
        path.write_bytes(content[: len(content) // 2])
    elif wrong == "folder":
        path.mkdir()
    with pytest.raises(ConfigError) as error:
        load(kind, path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


class Payload:
    """Pickled freely, it would say so."""

    executed = False

    def __reduce__(self):
        return (exec, ("import models.test_foreign as t; t.Payload.executed = True",))


def planted(path, out, change):
    """Copy an exported program with a member changed."""
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(out, "w") as after:
        members = {name: before.read(name) for name in before.namelist()}
        change(members, next(iter(members)).split("/")[0])
        for name, content in members.items():
            after.writestr(name, content)
    return out


def hostile():
    content = io.BytesIO()
    torch.save(Payload(), content)
    return content.getvalue()


def sample(members, root):
    members[f"{root}/data/sample_inputs/model.pt"] = hostile()


def weights(members, root):
    name = f"{root}/data/weights/model_weights_config.json"
    config = json.loads(members[name])
    next(iter(config["config"].values())).update(use_pickle=True, path_name="weight_0")
    members[name] = json.dumps(config).encode()
    members[f"{root}/data/weights/weight_0"] = hostile()


def opaque(members, root):
    name = f"{root}/data/constants/model_constants_config.json"
    meta = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": False}
    members[name] = json.dumps({"config": {"x": {**meta, "tensor_meta": None}}}).encode()
    members[f"{root}/data/constants/opaque_obj_0"] = pickle.dumps(Payload())


def legacy(members, root):
    members["version"] = b"8.1"
    members["serialized_example_inputs.pt"] = hostile()


def native(members, root):
    members[f"{root}/data/aotinductor/model/x.so"] = b"\x7fELF"


@pytest.mark.parametrize("change", [sample, weights, opaque, legacy, native])
def test_an_exported_program_with_free_pickles_is_refused_unopened(change, written, tmp_path):
    path = planted(written[1]("export"), tmp_path / "net.pt2", change)
    with pytest.raises(ConfigError, match=r"unpickled freely|another archive"):
        load("export", path)
    assert not Payload.executed


def test_without_onnxruntime_the_sentence_says_what_to_install(written, tmp_path, monkeypatch):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"x")
    real = builtins.__import__

    def without(name, *rest):
        if name == "onnxruntime":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"pip install 'torchreid_adv\[onnx\]'"):
        load_model("onnx", path, size=SIZE, device="cpu")


@pytest.fixture
def networks(monkeypatch):
    module = types.ModuleType("my_networks")
    module.build = lambda: Small()
    module.whole = lambda: PixelModel(Small(), size=(20, 10), mean=(0, 0, 0), std=(1, 1, 1))
    module.number = lambda: 7
    module.fails = lambda: 1 / 0
    monkeypatch.setitem(sys.modules, "my_networks", module)


def test_a_python_callable_gives_a_network(networks):
    images = torch.rand(2, 3, *SIZE)
    model = load_model("python", "my_networks:build", size=SIZE, device="cpu")
    assert torch.equal(model(images), PixelModel(Small(), size=SIZE).eval()(images))
    assert load_model("python", "my_networks:whole", size=SIZE, device="cpu").size == (20, 10)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("my_networks:bild", "did you mean 'build'"),
        ("my_networks:number", "got int"),
        ("my_networks:fails", "cannot be built: division by zero"),
        ("no_such_module:build", "cannot be imported"),
        ("my_networks", "a network of your own is named"),
    ],
)
def test_what_is_no_python_callable_is_said(networks, name, reason):
    with pytest.raises(ConfigError, match=reason):
        load_model("python", name, size=SIZE, device="cpu")


def test_a_label_says_size_and_normalization(networks):
    entries = [
        "a=python@32x16@0.5/0.25:my_networks:build",
        "onnx@64x32:net.onnx",
        "b=python@0.1,0.2,0.3/1:my_networks:build",
    ]
    specs = parse_models(entries)
    model = specs[0].load((1, 1), (0, 0, 0), (1, 1, 1), device="cpu")
    assert (model.size, model.mean, model.std) == ((32, 16), (0.5,) * 3, (0.25,) * 3)
    assert (specs[1].name, specs[1].size, specs[1].weights) == ("onnx", (64, 32), "net.onnx")
    assert specs[2].normalization == ((0.1, 0.2, 0.3), (1.0,))
    assert parse_models([spec.entry for spec in specs]) == specs
    for wrong in ("a=onnx@0.5:net.onnx", "a=onnx@1/2,3:net.onnx", "a=onnx@-1/2:net.onnx"):
        with pytest.raises(ConfigError, match="names no model"):
            parse_models([wrong])


def test_size_and_normalization_may_stand_in_the_name(networks):
    model = load_model("python@32x16@0.5/0.25", "my_networks:build", device="cpu")
    assert (model.size, model.mean, model.std) == ((32, 16), (0.5,) * 3, (0.25,) * 3)
    with pytest.raises(ConfigError, match="says another size than size="):
        load_model("python@32x16", "my_networks:build", size=(64, 32), device="cpu")
    with pytest.raises(ConfigError, match="key chooses weights in a checkpoint"):
        load_model("python", "my_networks:build", size=SIZE, device="cpu", key="ema")


def test_an_output_of_a_program_is_chosen(tmp_path):
    path = write(Small(end=lambda x: (x * 2, x)).eval(), "torchscript", tmp_path / "net.pt")
    images = torch.rand(3, 3, *SIZE)
    expected = PixelModel(Small(), size=SIZE).eval()(images)
    assert torch.allclose(load("torchscript", path, output=1)(images), expected, atol=1e-6)


@pytest.mark.slow
def test_onnx_weights_beside_the_file_are_read_from_its_own_folder(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    places = [tmp_path / name for name in ("a", "b")]
    hashes, images = set(), torch.rand(2, 3, *SIZE)
    for seed, place in enumerate(places):
        place.mkdir()
        whole = write(Small(seed=seed).eval(), "onnx", place / "whole.onnx")
        onnx.save(
            onnx.load(whole),
            place / "net.onnx",
            save_as_external_data=True,
            location="net.data",
            size_threshold=0,
        )
    for stand in (tmp_path, *places):
        monkeypatch.chdir(stand)
        for seed, place in enumerate(places):
            model = load("onnx", place / "net.onnx")
            expected = PixelModel(Small(seed=seed), size=SIZE).eval()(images)
            assert float((model(images) - expected).detach().abs().max()) < 1e-5
            hashes.add(fingerprint(model.network))
    assert len(hashes) == 2
    assert (
        places[0].joinpath("net.onnx").read_bytes() == places[1].joinpath("net.onnx").read_bytes()
    )
    places[0].joinpath("net.data").unlink()
    with pytest.raises(ConfigError, match=r"external_data.*write one file"):
        load("onnx", places[0] / "net.onnx")


@pytest.mark.parametrize("name", ["../x.data", "/etc/passwd", "C:\\x", "a/../../x"])
def test_onnx_weights_elsewhere_are_refused(name, tmp_path):
    entry = lambda number, value: bytes([number << 3 | 2, len(value)]) + value  # noqa: E731
    pair = entry(1, b"location") + entry(2, name.encode())
    tensor = entry(5, bytes([13 << 3 | 2, len(pair)]) + pair + bytes([14 << 3, 1]))
    with pytest.raises(ConfigError, match="not below its own folder"):
        external_weights(tmp_path / "net.onnx", entry(7, tensor))
