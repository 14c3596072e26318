"""Forms in which people have weights: each loads whole, or is refused in a sentence."""

import base64
import bz2
import copy
import gzip
import io
import json
import lzma
import math
import pickle
import random
import struct
import tarfile
import time
import zipfile
from collections import Counter, OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file
from torch import nn

from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.checkpoints import load_weights
from torchreid_adv.models import load_model
from torchreid_adv.registry import MODELS

NAME, SIZE, SECONDS = "form_net", (16, 8), 5.0


class Net(nn.Module):
    def __init__(self, classes=4):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4)
        self.fc = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6))
        self.classifier = nn.Linear(6, classes)

    def forward(self, images):
        features = self.fc(self.norm(self.conv(images)).relu().mean((2, 3)))
        return self.classifier(features) if self.training else features


@pytest.fixture(scope="module", autouse=True)
def registered():
    MODELS.register(NAME)(lambda num_classes, **options: Net(num_classes))
    yield
    MODELS.remove(NAME)


def source(seed=0, classes=7):
    torch.manual_seed(seed)
    network = Net(classes)
    torch.manual_seed(seed + 1)  # the same statistics, however many identities there are
    for norm in (network.norm, network.fc[1]):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    return network.eval()


def state(seed=0, classes=7, prefix=""):
    return {f"{prefix}{name}": value for name, value in source(seed, classes).state_dict().items()}


def without(*starts):
    return {name: value for name, value in state().items() if not name.startswith(starts)}


def packed(opener):
    return lambda path: path.write_bytes(opener(saved(state())))


def saved(content, **options):
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


def put(content, **options):
    return lambda path: path.write_bytes(saved(content(), **options))


def raw(content):
    return lambda path: path.write_bytes(content)


def safetensors(path):
    save_file(state(), path)


def member_of(kind):
    def write(path):
        if kind == "zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("weights/model.pth", saved(state()))
            return
        with tarfile.open(path, "w") as archive:
            content = saved(state())
            entry = tarfile.TarInfo("model.pth")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))

    return write


def scripted(path):
    torch.jit.trace(source(), torch.rand(2, 3, *SIZE), check_trace=False).save(str(path))


def exported(path):
    torch.export.save(torch.export.export(source(), (torch.rand(2, 3, *SIZE),)), path)


def folder(path):
    path.mkdir()
    (path / "model.safetensors").write_bytes(save(state()))


def compressed(path, content=None, ratio=1):
    """An archive of torch.save, packed again with compression."""
    content = saved(state() if content is None else content)
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) * ratio, zipfile.ZIP_DEFLATED)


def unsummed(path):
    previous = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(state(), path)
    finally:
        torch.serialization.set_crc32_options(previous)


def flipped(path):
    content = bytearray(saved({**state(), "classifier.weight": torch.ones(7, 6)}))
    place = content.index(struct.pack("<f", 1.0) * 42)
    content[place + 2] ^= 1
    path.write_bytes(bytes(content))


def deep():
    nested = state()
    for _ in range(100):
        nested = {"x": nested}
    return nested


def laughs():
    nested = {"weight": torch.zeros(1)}
    for _ in range(60):
        nested = {"a": nested, "b": dict(nested)}
    return nested


def huge(path):
    """A safetensors header that claims far more than the file holds."""
    header = json.dumps(
        {"conv.weight": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}
    )
    path.write_bytes(struct.pack("<Q", len(header)) + header.encode())


def far(shape):
    return torch.zeros(1).as_strided(shape, (0,) * len(shape))


def fastreid():
    return {
        "model": {f"backbone.{n}": v for n, v in without("fc", "class").items()}
        | {"heads.bottleneck.0.weight": torch.ones(6), "heads.weight": torch.ones(7, 6)}
    }


def transreid():
    return {
        "base.cls_token": torch.ones(1, 1, 6),
        "base.blocks.0.attn.qkv.weight": torch.ones(18, 6),
        "bottleneck.weight": torch.ones(6),
        "classifier.weight": torch.ones(7, 6),
    }


def clipreid():
    return {
        "image_encoder.conv1.weight": torch.ones(6, 3, 2, 2),
        "prompt_learner.cls_ctx": torch.ones(7, 4, 6),
        "classifier.weight": torch.ones(7, 6),
    }


def add_block():
    """Another project's: the layer that features come from is called classifier, too."""
    return {
        **without("fc", "classifier"),
        "classifier.add_block.0.weight": torch.ones(6, 4),
        "classifier.add_block.1.weight": torch.ones(6),
        "classifier.classifier.0.weight": torch.ones(7, 6),
    }


def embedded():
    return {
        **state(),
        "classifier.add_block.0.weight": torch.ones(5, 6),
        "classifier.add_block.1.running_mean": torch.ones(5),
    }


def long_name():
    return {"module." * 100000 + "conv.weight": state()["conv.weight"], **without("conv.weight")}


def strided():
    return {**state(), "extra": far((1 << 40,)), "module.extra": far((1 << 40,))}


def twice(change):
    return {
        **state(),
        **{f"module.{n}": v + change if v.is_floating_point() else v for n, v in state().items()},
    }


def pairs():
    return state().items()


def flat():
    """All weights of one type as views of one tensor, as optimizers keep them."""
    values = {n: v for n, v in pairs() if v.is_floating_point()}
    parts = torch.cat([v.flatten() for v in values.values()]).split(
        [v.numel() for v in values.values()]
    )
    return {n: p.view(v.shape) for (n, v), p in zip(values.items(), parts, strict=True)}


def collisions(count):
    """Whole numbers that Python's dictionaries take a time for that grows with their square."""
    return {number * (2**61 - 1): 0 for number in range(count)}


def optimizer_alone():
    network = source().train()
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.rand(2, 3, *SIZE)).sum().backward()
    optimizer.step()
    return {"optimizer": optimizer.state_dict(), "epoch": 3}


def halves():
    return {
        "backbone": without("fc", "classifier"),
        "head": without("conv", "norm"),
    }


WHOLE = {
    "state dict": put(state),
    "torchreid's checkpoint": put(
        lambda: {
            "state_dict": state(),
            "epoch": 3,
            "rank1": np.float32(0.5),
            "optimizer": torch.optim.Adam(source().parameters()).state_dict(),
        }
    ),
    "DataParallel": put(lambda: state(prefix="module.")),
    "DataParallel twice": put(lambda: state(prefix="module.module.")),
    "compiled": put(lambda: state(prefix="_orig_mod.")),
    "compiled, DataParallel": put(lambda: state(prefix="module._orig_mod.")),
    "DataParallel, compiled": put(lambda: state(prefix="_orig_mod.module.")),
    "a compiled part": put(
        lambda: {n.replace("fc.", "fc._orig_mod."): v for n, v in state().items()}
    ),
    "model": put(lambda: {"model": state()}),
    "model.": put(lambda: state(prefix="model.")),
    "any prefix": put(lambda: state(prefix="whatever.it.is.")),
    "model_state_dict": put(lambda: {"model_state_dict": state(), "loss": 0.5}),
    "net_dict": put(lambda: {"net_dict": state()}),
    "net": put(lambda: {"net": state(), "acc": 0.9}),
    "ema alone": put(lambda: {"ema": state()}),
    "model in model": put(lambda: {"model": {"state_dict": state()}}),
    "Lightning": put(
        lambda: {
            "state_dict": state(prefix="model."),
            "hyper_parameters": {"lr": 0.1},
            "pytorch-lightning_version": "2.0",
            "loops": {},
            "optimizer_states": [{"state": {0: {"step": torch.ones(1)}}}],
        }
    ),
    "Lightning, other attribute": put(lambda: {"state_dict": state(prefix="backbone.")}),
    "DeepSpeed": put(lambda: {"module": state(), "ds_version": "0.1"}),
    "averaged": put(lambda: {"n_averaged": torch.tensor(5), **state(prefix="module.")}),
    "teacher and a tensor": put(lambda: {"teacher": state(), "lr": torch.tensor(0.1)}),
    "one dictionary, two names": put(lambda: dict.fromkeys(("model", "ema"), state())),
    "weights and averages of gradients": put(
        lambda: {"model": state(), "optimizer": {"exp_avg": state(5)}}
    ),
    "two names, equal values": put(lambda: {"model": state(), "ema": state()}),
    "two prefixes, equal values": put(lambda: twice(0)),
    "parts by dictionary": put(
        lambda: {
            "conv": {"weight": state()["conv.weight"], "bias": state()["conv.bias"]},
            "rest": {},
            **without("conv"),
        }
    ),
    "ordered": put(lambda: OrderedDict(state())),
    "parameters": put(lambda: dict(source().named_parameters()) | dict(source().named_buffers())),
    "of other identities": put(lambda: state(classes=751)),
    "of one identity": put(lambda: state(classes=1)),
    "without its classifier": put(lambda: without("classifier")),
    "without counters": put(lambda: {n: v for n, v in state().items() if "num_batches" not in n}),
    "another linear layer": put(
        lambda: {**state(), "second.weight": torch.ones(9, 6), "second.bias": torch.ones(9)}
    ),
    "legacy": put(state, _use_new_zipfile_serialization=False),
    "legacy, torchreid's": put(
        lambda: {"state_dict": state(), "rank1": np.float32(0.5)},
        _use_new_zipfile_serialization=False,
    ),
    "safetensors": safetensors,
    "double": put(
        lambda: {n: v.double() if v.is_floating_point() else v for n, v in state().items()}
    ),
    "channels last": put(
        lambda: {
            n: v.contiguous(memory_format=torch.channels_last) if v.ndim == 4 else v
            for n, v in state().items()
        }
    ),
    "views of one storage": put(lambda: {n: torch.stack([v, v])[1] for n, v in state().items()}),
    "compressed again": compressed,
    "unnamed dictionary": put(lambda: {"": state()}),
    "names with slashes": put(lambda: {n.replace(".", "/"): v for n, v in state().items()}),
    "prefix with a slash": put(lambda: state(prefix="net/")),
    "three names, equal values": put(lambda: dict.fromkeys("abc", state())),
    "itself inside": put(lambda: (whole := {"state_dict": state()}) | {"me": whole}),
    "no value": put(lambda: {**state(), "scheduler": None}),
    "keys that are no names": put(lambda: {**state(), ("a", 1): 0, 7: torch.ones(2)}),
    "parameters that want gradients": put(lambda: dict(source().state_dict(keep_vars=True))),
    "views of one tensor": put(flat),
    "transposed": put(lambda: {n: v.T.contiguous().T if v.ndim == 2 else v for n, v in pairs()}),
    "FSDP": put(lambda: {n.replace("fc.", "fc._fsdp_wrapped_module."): v for n, v in pairs()}),
    "NumPy's numbers": put(
        lambda: {
            "state_dict": state(),
            "best": [np.dtype(kind).type(1) for kind in "?bBhHiIlLqQefd"],
        }
    ),
    "Python's random state": put(lambda: {"state_dict": state(), "random": random.getstate()}),
    "numbers of one hash, few": put(lambda: {"state_dict": state(), **collisions(100)}),
    "MMLab": put(lambda: {"meta": {"epoch": 1}, "state_dict": state(prefix="backbone.")}),
    "of 100,000 identities": put(lambda: state(classes=100_000)),
    "trailing bytes": lambda path: path.write_bytes(saved(state()) + b"more" * 9),
    "safetensors with metadata": lambda path: save_file(state(), path, {"format": "pt"}),
    "safetensors, DataParallel": lambda path: save_file(state(prefix="module."), path),
}

REFUSED = {
    "protocol 4": (put(state, pickle_protocol=4), "pickle_protocol"),
    "empty": (raw(b""), r"empty \(0 bytes\)"),
    "text": (raw(b"hello, this is text"), "a text that begins with 'hello, this is text'"),
    "Git LFS pointer": (
        raw(b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n"),
        "Git LFS pointer.*git lfs pull",
    ),
    "web page": (
        raw(b"\n<!DOCTYPE html><html><title>Google Drive - Virus scan warning</title>"),
        "web page",
    ),
    "JSON": (raw(b'{"error": "not found"}'), "a text that begins with"),
    "ONNX": (raw(b"\x08\x0a\x12\x07pytorch\x1a\x032.0:" + bytes(200)), "ONNX network.*load_model"),
    "gzip": (packed(gzip.compress), "gzip archive"),
    "bzip2": (packed(bz2.compress), "bzip2 archive"),
    "xz": (packed(lzma.compress), "xz archive"),
    "ZIP of weights": (member_of("zip"), r"ZIP archive of 'weights/model\.pth'"),
    "TAR of weights": (member_of("tar"), r"TAR archive of 'model\.pth'"),
    "TorchScript": (scripted, "TorchScript program.*torchscript"),
    "exported": (exported, "exported program.*export"),
    "NumPy": (lambda path: np.savez(path.open("wb"), a=np.ones(3)), "NumPy"),
    "HDF5": (raw(b"\x89HDF\r\n\x1a\n" + bytes(64)), "HDF5"),
    "image": (raw(b"\x89PNG\r\n\x1a\n" + bytes(64)), "PNG image"),
    "pickle": (lambda path: path.write_bytes(pickle.dumps({"a": [1]}, 2)), "not a checkpoint"),
    "folder": (folder, r"is a folder.*'model\.safetensors'"),
    "missing": (lambda path: None, "there is no checkpoint file"),
    "cut": (lambda path: path.write_bytes(saved(state())[:-300]), "damaged or incomplete"),
    "cut, legacy": (
        lambda path: path.write_bytes(saved(state(), _use_new_zipfile_serialization=False)[:-30]),
        "is it whole",
    ),
    "cut, safetensors": (
        lambda path: path.write_bytes(save(state())[:-10]),
        "not a whole safetensors",
    ),
    "flipped bit": (flipped, r"checksum \(CRC-32\)"),
    "no checksums": (unsummed, r"set_crc32_options"),
    "whole module": (put(source), r"as well as weights.*state_dict"),
    "list": (put(lambda: [1, 2]), "holds a list"),
    "no tensors": (put(lambda: {"epoch": 3}), "no weights, only: epoch"),
    "model and ema": (
        put(lambda: {"model": state(), "ema": state(1)}),
        r"twice.*'(model|ema)' and under '(model|ema)'.*key=",
    ),
    "teacher and student": (
        put(lambda: {"teacher": state(), "student": state(1)}),
        "twice, with different values.*key=",
    ),
    "Lightning with ema": (
        put(lambda: {"state_dict": {**state(prefix="model."), **state(1, prefix="ema.")}}),
        r"'state_dict/(model|ema)'.*key=",
    ),
    "two prefixes": (put(lambda: twice(1)), "twice, with different values"),
    "fast-reid": (put(fastreid), "fast-reid"),
    "TransReID": (put(transreid), "TransReID"),
    "CLIP-ReID": (put(clipreid), "CLIP-ReID"),
    "features in classifier": (
        put(add_block),
        r"fc\.0\.weight is not in the file.*Person_reID_baseline",
    ),
    "a layer behind the features": (
        put(embedded),
        r"add_block\.1\.running_mean is not in the model",
    ),
    "a layer is missing": (put(lambda: without("fc.0")), r"fc\.0\.weight is not in the file"),
    "statistics are missing": (
        put(lambda: without("norm.running_mean")),
        r"norm\.running_mean is not in the file",
    ),
    "another shape": (
        put(lambda: {**state(), "conv.weight": torch.ones(4, 3, 5, 5)}),
        r"conv\.weight is \(4, 3, 5, 5\)",
    ),
    "NaN": (put(lambda: {**state(), "fc.0.bias": torch.full((6,), math.nan)}), "NaN or infinity"),
    "overflow": (
        put(lambda: {**state(), "fc.0.bias": torch.full((6,), 1e300, dtype=torch.float64)}),
        "NaN or infinity",
    ),
    "integers": (
        put(lambda: {**state(), "fc.0.bias": torch.ones(6, dtype=torch.int64)}),
        r"torch\.int64",
    ),
    "sparse": (
        put(lambda: {**state(), "fc.0.weight": torch.eye(6, 4).to_sparse()}),
        "plain tensors",
    ),
    "meta": (
        put(lambda: {**state(), "fc.0.weight": torch.ones(6, 4, device="meta")}),
        "plain tensors",
    ),
    "quantized": (
        put(
            lambda: {
                **state(),
                "fc.0.weight": torch.quantize_per_tensor(torch.ones(6, 4), 1.0, 0, torch.qint8),
            }
        ),
        "not a checkpoint|plain tensors|as well as weights",
    ),
    "long prefix": (put(long_name), "letters"),
    "far strides": (put(strided), "has no place|have no place"),
    "far strides, wanted": (
        put(lambda: {**state(), "fc.0.weight": far((1 << 40, 4))}),
        r"claims|is \(1099511627776, 4\)",
    ),
    "far strides, identities": (
        put(lambda: {**state(), "classifier.weight": far((1 << 40, 6))}),
        "claims",
    ),
    "deep": (put(deep), "no weights, only"),
    "laughs": (put(laughs), "no weights"),
    "unfolds": (lambda path: compressed(path, {"a": torch.zeros(1000)}, ratio=3000), "unpacks"),
    "huge header": (huge, "safetensors"),
    "optimizer alone": (put(optimizer_alone), "no weights, only: optimizer, epoch"),
    "halves": (put(halves), r"conv\.weight is in the file under 'backbone', not where the rest"),
    "numbers of one hash": (put(lambda: {"state_dict": state(), **collisions(6_000)}), "numbers"),
    "numbers of one hash, legacy": (
        put(lambda: collisions(6_000), _use_new_zipfile_serialization=False),
        "whole numbers",
    ),
    "4,000 tensors": (
        put(lambda: {f"t.{n}": torch.ones(1) for n in range(4_000)}),
        "not this model's",
    ),
    "100 networks": (
        put(lambda: {f"p{n}.{m}": v + n for n in range(100) for m, v in pairs()}),
        r"twice, with different values.*key=",
    ),
    "unnamed tensor": (put(lambda: {**state(), "": torch.ones(1)}), "not this model's"),
    "list of networks": (put(lambda: {"models": [state()]}), "no weights, only: models"),
    "NumPy's arrays": (put(lambda: {n: v.numpy() for n, v in pairs()}), "as well as weights"),
    "int8": (
        put(lambda: {n: v.to(torch.int8) for n, v in pairs()}),
        r"holds torch\.int8 in the file",
    ),
    "compressed sparse": (
        put(lambda: {**state(), "fc.0.weight": torch.eye(6, 4).to_sparse_csr()}),
        "plain tensors",
    ),
    "conjugate": (
        put(lambda: {**state(), "fc.0.bias": torch.ones(6, dtype=torch.complex64).conj()}),
        "plain tensors",
    ),
    "pruned": (
        put(lambda: {**state(), "fc.0.weight_mask": torch.zeros(6, 4)}),
        r"weight_mask is not in the model",
    ),
    "LoRA": (
        put(lambda: {**state(), "fc.0.lora_A": torch.ones(2, 4), "fc.0.lora_B": torch.ones(6, 2)}),
        r"lora_A is not in the model",
    ),
    "a 1x1 convolution": (
        put(lambda: {**state(), "fc.0.weight": state()["fc.0.weight"][..., None, None]}),
        r"fc\.0\.weight is \(6, 4, 1, 1\)",
    ),
    "zeros": (raw(bytes(5000)), "begins with zeros; was its download interrupted"),
    "base64": (packed(base64.b64encode), "a text that begins with"),
    "line ends changed": (
        packed(lambda content: content.replace(b"\n", b"\r\n")),
        "damaged or incomplete",
    ),
    "random bytes after a ZIP header": (
        raw(b"PK\x03\x04" + random.Random(1).randbytes(5000)),
        "damaged or incomplete",
    ),
    "random bytes": (raw(random.Random(2).randbytes(5000)), "is it whole"),
    "deep pickle": (raw(b"\x80\x02" + b"(" * 200_000 + b"t" * 200_000 + b"."), "is it whole"),
    "another network": (put(nn.Linear(3, 2).state_dict), "not this model's"),
}


def test_forms_are_many():
    assert len(WHOLE) + len(REFUSED) >= 60


@pytest.mark.parametrize("form", WHOLE)
def test_a_form_loads_whole(form, tmp_path):
    path = tmp_path / "model.pth"
    WHOLE[form](path)
    started = time.monotonic()
    found = load_model(NAME, path, size=SIZE, device="cpu").network
    assert time.monotonic() - started < SECONDS
    images = torch.rand(3, 3, *SIZE)
    assert torch.equal(found(images), source()(images))


@pytest.mark.parametrize("form", REFUSED)
def test_a_form_is_refused_in_a_sentence(form, tmp_path):
    path = tmp_path / "model.pth"
    write, words = REFUSED[form]
    write(path)
    started = time.monotonic()
    with pytest.raises(ConfigError, match=words) as caught:
        load_model(NAME, path, size=SIZE, device="cpu")
    assert time.monotonic() - started < SECONDS
    assert str(path) in str(caught.value)
    assert str(caught.value).isprintable()


def test_weights_of_more_digits_are_rounded_with_a_word(tmp_path):
    path = tmp_path / "double.pth"
    double = {n: v.double() / 3 if v.is_floating_point() else v for n, v in state().items()}
    torch.save(double, path)
    network = Net(7)
    with pytest.warns(UserWarning, match=r"tensors of .* are rounded, such as conv\.weight"):
        load_weights(network, path)
    assert torch.equal(network.conv.weight, double["conv.weight"].float())


@pytest.mark.parametrize("kind", ["archive", "legacy", "safetensors"])
def test_a_checkpoint_cut_anywhere_is_refused(kind, tmp_path):
    content = {
        "archive": saved(state()),
        "legacy": saved(state(), _use_new_zipfile_serialization=False),
        "safetensors": save(state()),
    }[kind]
    path = tmp_path / "cut.pth"
    for length in range(0, len(content), len(content) // 100):
        path.write_bytes(content[:length])
        with pytest.raises(ConfigError):
            load_weights(Net(7), path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_weights_are_those_of_the_half_network(dtype, tmp_path):
    half = {n: v.to(dtype) if v.is_floating_point() else v for n, v in state().items()}
    torch.save(half, tmp_path / "half.pth")
    expected = source().to(dtype).float()
    images = torch.rand(3, 3, *SIZE)
    found = load_model(NAME, tmp_path / "half.pth", size=SIZE, device="cpu").network
    assert torch.equal(found(images), expected(images))


def test_a_key_chooses_one_of_several_networks(tmp_path):
    path, images = tmp_path / "model.pth", torch.rand(3, 3, *SIZE)
    torch.save({"model": state(), "ema": {"module": state(1)}}, path)
    for key, seed in (("model", 0), ("ema", 1), ("ema/module", 1)):
        found = load_model(NAME, path, size=SIZE, device="cpu", key=key).network
        assert torch.equal(found(images), source(seed)(images))
    with pytest.raises(ConfigError, match="no weights under 'teacher', only under: model, ema"):
        load_model(NAME, path, size=SIZE, device="cpu", key="teacher")


def outcomes(content, suffix, place, count):
    """Load a file with one bit flipped, again and again, and count what becomes of it.

    A classifier's name may be hit, too: then it is missing, and features are what they were.
    """
    draws, path = random.Random(0), place / f"flipped{suffix}"
    images = torch.rand(3, 3, *SIZE)
    expected, weights, found = source()(images), state(), Counter()
    changed = []
    for _ in range(count):
        bit = draws.randrange(8 * len(content))
        broken = bytearray(content)
        broken[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bytes(broken))
        try:
            load_weights(network := Net(7).eval(), path)
        except ConfigError:
            found["refused"] += 1
            continue
        same = torch.equal(network(images), expected)
        if suffix == ".pth":
            same = same and all(torch.equal(v, weights[n]) for n, v in network.state_dict().items())
        found["same" if same else "changed"] += 1
        changed += [] if same else [bit // 8]
    print(f"{suffix}: {count} flips of {len(content)} bytes: {dict(found)}")
    return found, changed


def test_no_flipped_bit_of_an_archive_loads_as_other_weights(tmp_path):
    found, _ = outcomes(saved({"state_dict": state(), "epoch": 1}), ".pth", tmp_path, 500)
    assert found["changed"] == 0
    assert found["refused"] > 100


def test_a_flipped_bit_of_safetensors_is_seen_in_all_but_the_values(tmp_path):
    content = save(state())
    found, changed = outcomes(content, ".safetensors", tmp_path, 200)
    header = 8 + struct.unpack("<Q", content[:8])[0]
    assert found["refused"] > 20
    assert all(byte >= header for byte in changed)


def test_a_flipped_bit_of_the_older_format_is_seen_in_all_but_the_values(tmp_path):
    content = saved(state(), _use_new_zipfile_serialization=False)
    found, changed = outcomes(content, ".tar", tmp_path, 200)
    values = content.rindex(b"q\x00]q") if b"q\x00]q" in content else 0
    assert found["refused"] > 20
    assert all(byte >= values for byte in changed)


def test_the_network_is_left_as_it_was_by_a_trial(tmp_path):
    torch.save(state(classes=9), tmp_path / "model.pth")
    network = Net(5).train()
    before = copy.deepcopy(network)
    draws = torch.random.get_rng_state()
    load_weights(network, tmp_path / "model.pth")
    assert torch.equal(torch.random.get_rng_state(), draws)
    assert all(module.training for module in network.modules())
    assert torch.equal(network.classifier.weight, before.classifier.weight)
    assert torch.equal(network.conv.weight, source().conv.weight)
