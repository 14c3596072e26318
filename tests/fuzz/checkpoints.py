"""Checkpoints, hostile, broken and good: what each must come to."""

import collections
import gzip
import hashlib
import io
import json
import os
import pickle  # to write what must not be read
import struct
import tarfile
import zipfile

import numpy as np
import torch
from safetensors.torch import save as save_safetensors
from torch import nn

REFUSED = "refused"


class Net(nn.Module):
    def __init__(self, classes=5, wide=8, deep=1):
        super().__init__()
        self.conv = nn.Conv2d(3, wide, 3)
        self.bn = nn.BatchNorm2d(wide)
        self.layers = nn.ModuleList(nn.Linear(wide, wide) for _ in range(deep))
        self.classifier = nn.Linear(wide, classes)

    def forward(self, images):
        features = torch.relu(self.bn(self.conv(images))).mean((2, 3))
        for layer in self.layers:
            features = layer(features)
        return self.classifier(features) if self.training else features


def make_model(seed=0, **options):
    torch.manual_seed(seed)
    return Net(**options)


def weights(seed=1, **options):
    return dict(make_model(seed, **options).state_dict())


def state_digest(state):
    parts = [
        f"{k}{v.dtype}{tuple(v.shape)}".encode() + v.numpy().tobytes() for k, v in state.items()
    ]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def result(state):
    """What the model holds after these weights: its own classifier where theirs does not fit."""
    own = make_model().state_dict()
    fits = {k: v for k, v in state.items() if k in own and v.shape == own[k].shape}
    return state_digest({k: fits.get(k, v).to(v.dtype) for k, v in own.items()})


def saved(content, **options):
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def legacy(content):
    return saved(content, _use_new_zipfile_serialization=False)


def prefixed(prefix, state=None):
    return {prefix + k: v for k, v in (state or weights()).items()}


def rezipped(content, change=None, compress=zipfile.ZIP_STORED, extra=()):
    """Write a checkpoint's archive anew; ``change(name, content)`` gives each member's content."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w", compress) as new:
        for info in old.infolist():
            data = old.read(info.filename)
            new.writestr(info.filename, change(info.filename, data) if change else data)
        for name, data in extra:
            new.writestr(name, data)
    return buffer.getvalue()


def with_pickle(payload):
    """A checkpoint in the usual archive whose pickle is another one."""
    return rezipped(
        saved(weights()), lambda name, data: payload if name.endswith("data.pkl") else data
    )


class Call:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def word(text):
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


def payloads(marker):
    """Pickles that would create the marker, written by hand where Python would not."""
    touch = f"touch {marker}"
    line = f"open({str(marker)!r}, 'w')"
    text = word(touch)
    yield "os.system", pickle.dumps({"state_dict": Call(os.system, touch)}, 2)
    yield "os.system, protocol 4", pickle.dumps({"a": Call(os.system, touch)}, 4)
    yield "open", pickle.dumps(Call(open, str(marker), "w"), 2)
    yield "eval", pickle.dumps(Call(eval, line), 2)
    yield "exec", pickle.dumps(Call(exec, line), 2)
    yield "GLOBAL posix", b"cposix\nsystem\n(" + text + b"tR."
    yield "GLOBAL nt", b"cnt\nsystem\n(" + text + b"tR."
    yield "INST", b"(" + text + b"ios\nsystem\n."
    yield "OBJ", b"(cos\nsystem\n" + text + b"o."
    yield "STACK_GLOBAL", b"\x80\x04" + word("os") + word("system") + b"\x93" + text + b"\x85R."
    yield "NEWOBJ", b"cos\nsystem\n" + text + b"\x85\x81."
    yield "BUILD", b"ctorch._utils\n_rebuild_parameter\n}" + word("x") + b"cos\nsystem\nsb."
    yield "getattr", b"c__builtin__\ngetattr\ncos\npath\n" + word("join") + b"\x86R."
    yield "apply", b"c__builtin__\napply\ncos\nsystem\n" + text + b"\x85\x86R."
    yield "dotted", b"ctorch.serialization\nos.system\n" + text + b"\x85R."
    yield (
        "ours",
        b"ctorchreid_adv.config\nimportlib.import_module\n" + word("antigravity") + b"\x85R.",
    )
    yield "subprocess", b"csubprocess\ngetoutput\n" + text + b"\x85R."
    yield "runpy", b"crunpy\n_run_code\n" + word(line) + b"}\x86R."
    yield "torch.load", b"ctorch\nload\n" + word("/etc/passwd") + b"\x85R."
    yield "torch.hub", b"ctorch.hub\nload\n" + word("a/b") + word("c") + b"\x86R."
    yield "torch.jit", b"ctorch.jit\nload\n" + word("/etc/passwd") + b"\x85R."
    yield "numpy", b"cnumpy\nfromfile\n" + word("/etc/passwd") + b"\x85R."
    yield "numpy objects", pickle.dumps({"state_dict": np.array([Call(os.system, touch)])}, 2)
    yield "a module", pickle.dumps(make_model(), 2)
    yield "EXT", b"\x82\x01."
    yield "copyreg", b"ccopyreg\nadd_extension\n(" + word("os") + word("system") + b"K\x01tR."


def bomb_pickles():
    count = b"\x8a\x05" + (3 * 10**9).to_bytes(5, "little")
    yield "bytearray", b"\x80\x02c__builtin__\nbytearray\n" + count + b"\x85R."
    yield (
        "a list of bytearrays",
        b"\x80\x02](" + 4 * (b"cbuiltins\nbytearray\n" + count + b"\x85R") + b"e.",
    )
    yield "a tensor", b"\x80\x02ctorch\nTensor\n" + count + b"\x85R."
    many = b"(" + b"K\x01" * 200_000 + b"tq\x00"  # a tuple, copied again and again
    yield (
        "copies",
        b"\x80\x02](" + many + b"ctorch\nSize\nq\x01" + b"h\x01h\x00\x85R" * 3000 + b"e.",
    )


def huge_storage():
    content = saved({"conv.weight": torch.ones(7)})
    return rezipped(content, lambda name, data: data.replace(b"K\x07", b"\x8a\x06\0\0\0\0\0\x10"))


def zip_bomb():
    """A storage of 3 GB in a file of some MB."""
    content = saved({"conv.weight": torch.ones(7)})
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new,
    ):
        for info in old.infolist():
            with new.open(info.filename, "w", force_zip64=True) as member:
                if info.filename.endswith("data/0"):
                    for _ in range(30):
                        member.write(bytes(10**8))
                else:
                    member.write(old.read(info.filename))
    return buffer.getvalue()


def safetensors_file(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def changed(name, value, state=None):
    state = dict(state or weights())
    state[name] = value
    return state


def spoiled(name, value):
    state = {k: v.clone() for k, v in weights().items()}
    state[name].view(-1)[-1] = value
    return state


def good():
    state = weights()
    full = {
        "state_dict": state,
        "epoch": 3,
        "optimizer": {"state": {}, "param_groups": [{"lr": 1}]},
    }
    yield "state dict", saved(state), state
    yield "module.", saved(prefixed("module.")), state
    yield "model.", saved(prefixed("model.")), state
    yield "module.module.", saved(prefixed("module.module.")), state
    yield "module.model.", saved({"state_dict": prefixed("module.model.")}), state
    yield "below state_dict", saved({"state_dict": state}), state
    yield "below model", saved({"model": state, "epoch": 2}), state
    yield "numpy float32", saved({**full, "rank1": np.float32(0.5)}), state
    yield (
        "numpy float64 and int64",
        saved({**full, "rank1": np.float64(0.5), "n": np.int64(1)}),
        state,
    )
    old = with_numpy_1(saved({**full, "rank1": np.float32(0.5)}))
    yield "numpy 1", old, state
    yield "moving averages alone", saved({"ema_state_dict": state, "epoch": 1}), state
    yield "model_ema alone", saved({"model_ema": {"module": state}}), state
    yield (
        "half",
        saved({k: v.half() for k, v in state.items()}),
        {k: v.half() if v.is_floating_point() else v for k, v in state.items()},
    )
    double = {k: v.double() if v.is_floating_point() else v for k, v in state.items()}
    yield "double", saved(double), state
    yield "legacy", legacy(state), state
    yield "legacy, module.", legacy({"state_dict": prefixed("module.")}), state
    yield "parameters", saved({k: nn.Parameter(v, False) for k, v in state.items()}), state
    yield "ordered", saved(collections.OrderedDict(state)), state
    yield "both prefixes, same values", saved({**state, **prefixed("module.")}), state
    yield "other classes", saved(weights(classes=751)), weights(classes=751)
    headless = {k: v for k, v in state.items() if "classifier" not in k}
    yield "no classifier", saved(headless), headless
    strided = changed("layers.0.weight", state["layers.0.weight"].t().contiguous().t())
    yield "strided", saved(strided), strided


def with_numpy_1(content):
    return rezipped(content, lambda name, data: data.replace(b"numpy._core.", b"numpy.core."))


def broken_weights():
    state = weights()
    for value in (float("nan"), float("inf"), float("-inf")):
        yield f"{value}", saved(spoiled("bn.running_var", value))
    yield (
        "nan behind a prefix",
        saved({"state_dict": prefixed("module.", spoiled("conv.bias", float("nan")))}),
    )
    yield (
        "nan in half",
        saved({k: v.half() for k, v in spoiled("conv.weight", float("nan")).items()}),
    )
    large = torch.full((8,), 1e300, dtype=torch.float64)
    yield "too large for float32", saved(changed("conv.bias", large))
    yield "another width", saved(weights(wide=16))
    yield "deeper", saved(weights(deep=40))
    yield "one missing", saved({k: v for k, v in state.items() if k != "bn.running_mean"})
    yield "one of another shape", saved(changed("conv.weight", torch.ones(8, 3, 1, 1)))
    yield "transposed", saved(changed("conv.weight", torch.ones(3, 8, 3, 3)))
    yield "another network", saved(dict(nn.LSTM(3, 4).state_dict()))
    both = {"state_dict": state, "ema_state_dict": weights(9)}
    yield "beside moving averages of other values", saved(both)
    yield "two values under two prefixes", saved({**state, **prefixed("module.", weights(9))})
    yield "two prefixes", saved({**prefixed("model."), **prefixed("module.", weights(9))})
    yield "a list", saved(list(state.values()))
    yield "a tensor", saved(torch.ones(3))
    yield "nothing", saved({})
    yield "numbers", saved({"epoch": 3, "rank1": 0.5})
    yield "a number", saved(3)
    yield "lists for tensors", saved({k: v.tolist() for k, v in state.items()})
    yield "sparse", saved(changed("layers.0.weight", torch.eye(8).to_sparse()))
    yield "meta", saved(changed("layers.0.weight", torch.empty(8, 8, device="meta")))
    yield "complex", saved(changed("layers.0.weight", torch.ones(8, 8, dtype=torch.complex64)))
    yield (
        "quantized",
        saved(
            changed("layers.0.weight", torch.quantize_per_tensor(torch.eye(8), 0.1, 0, torch.qint8))
        ),
    )
    yield "whole numbers", saved(changed("layers.0.weight", torch.ones(8, 8, dtype=torch.int8)))
    yield "words for names", saved({(1, 2): torch.ones(2), 3: torch.ones(1)})


def broken_files():
    content, old = saved(weights()), legacy(weights())
    for share in (0, 0.02, 0.3, 0.6, 0.9, 0.999):
        yield f"archive cut at {share}", content[: int(share * len(content))]
    for share in (0.01, 0.3, 0.9, 0.999):
        yield f"legacy cut at {share}", old[: int(share * len(old))]
    yield "text", b"404 Not Found"
    yield "HTML", b"<!DOCTYPE html><html>Google Drive - Virus scan warning</html>"
    yield "pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    yield "gzip", gzip.compress(content)
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as file:
        file.writestr("model.pth", content)
    yield "archive in an archive", inner.getvalue()
    yield "no pickle", rezipped(content, lambda name, data: b"" if name.endswith("pkl") else data)
    outer = io.BytesIO()
    with tarfile.open(fileobj=outer, mode="w") as tar:
        info = tarfile.TarInfo("../../escaped")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"abc"))
        for name in ("pickle", "storages", "tensors"):
            tar.addfile(tarfile.TarInfo(name))
    yield "tar", outer.getvalue()
    yield (
        "TorchScript",
        rezipped(
            content,
            extra=[("archive/constants.pkl", b"\x80\x02)."), ("archive/code/__torch__.py", b"")],
        ),
    )
    renamed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as a, zipfile.ZipFile(renamed, "w") as b:
        for info in a.infolist():
            b.writestr("../../../" + info.filename, a.read(info.filename))
    yield "paths in the archive", renamed.getvalue()
    yield "storages gone", rezipped(content, lambda name, data: b"" if "/data/" in name else data)


def broken_safetensors():
    whole = save_safetensors(weights())
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    yield "cut", whole[:-9]
    yield "cut in the header", whole[:40]
    yield "empty", b""
    yield "huge header", struct.pack("<Q", 2**62) + b"{}"
    yield "no JSON", safetensors_file(b"{'a': 1}")
    yield "overlap", safetensors_file({"a": entry, "b": entry}, bytes(8))
    yield "beyond the end", safetensors_file({"a": {**entry, "data_offsets": [0, 2**40]}}, bytes(8))
    yield "huge shape", safetensors_file({"a": {**entry, "shape": [2**40, 2**40]}}, bytes(8))
    yield "negative", safetensors_file({"a": {**entry, "shape": [-2]}}, bytes(8))
    yield "unknown type", safetensors_file({"a": {**entry, "dtype": "F33"}}, bytes(8))
    yield "metadata alone", safetensors_file({"__metadata__": {"a": "b"}})
    yield "nan", save_safetensors(spoiled("conv.bias", float("nan")))


def cases(marker):
    """Yield (kind, name, suffix, function that makes the content, REFUSED or the weights)."""
    for name, content, state in good():
        yield "good", name, ".pth.tar", content, state
    yield "good", "safetensors", ".safetensors", save_safetensors(weights()), weights()
    yield "good", "SafeTensors", ".SafeTensors", save_safetensors(prefixed("module.")), weights()
    for name, payload in payloads(marker):
        yield "payload", name, ".pth", with_pickle(payload), REFUSED
        if name in ("os.system", "GLOBAL posix", "eval"):
            yield "payload", f"legacy {name}", ".pth", payload, REFUSED
            yield "payload", f"safetensors {name}", ".safetensors", payload, REFUSED
    for name, payload in bomb_pickles():
        yield "bomb", name, ".pth", with_pickle(payload), REFUSED
    yield "bomb", "huge storage", ".pth", huge_storage(), REFUSED
    for name, content in broken_weights():
        yield "wrong weights", name, ".pth", content, REFUSED
    for name, content in broken_files():
        yield "broken file", name, ".pth", content, REFUSED
    for name, content in broken_safetensors():
        yield "broken safetensors", name, ".safetensors", content, REFUSED
