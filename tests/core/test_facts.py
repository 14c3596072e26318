"""All that an object does is in its facts, and nothing that changes by itself."""

import ast
import functools
import inspect
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import torchreid_adv as adv
from torchreid_adv.core.batch import Batch
from torchreid_adv.core.facts import code_of, facts_of, tensors_digest
from torchreid_adv.defenses import Defended
from torchreid_adv.distances import FunctionDistance, build_distance
from torchreid_adv.models import Ensemble, PixelModel
from torchreid_adv.models.tracklet_model import TrackletModel
from torchreid_adv.registry import ATTACKS, DEFENSES


class Network(nn.Module):
    def __init__(self, gain=1.0, *, seed=0, hidden=0.0, stride=8):
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(3, 4, 8, stride=stride)
        self.norm = nn.BatchNorm2d(4)
        self.register_buffer("hidden", torch.tensor(hidden), persistent=False)
        self.gain = gain

    def forward(self, images):
        return self.norm(self.conv(images)).mean((2, 3)) * self.gain + self.hidden


class Other(Network):
    def forward(self, images):
        return super().forward(images).relu()


def model(network=None, size=(32, 16), **settings):
    return PixelModel((network or Network()).eval(), size=size, **settings)


MODELS = {
    "plain": model,
    "weights": lambda: model(Network(seed=1)),
    "a buffer that is not saved": lambda: model(Network(hidden=1.0)),
    "a number of the network": lambda: model(Network(gain=2.0)),
    "an option of a layer": lambda: model(Network(stride=4)),
    "another class": lambda: model(Other()),
    "size": lambda: model(size=(32, 8)),
    "mean": lambda: model(mean=(0.4, 0.4, 0.4)),
    "std": lambda: model(std=(0.3, 0.3, 0.3)),
    "tracklets": lambda: TrackletModel(Network().eval(), size=(32, 16), pooling="avg"),
    "pooling": lambda: TrackletModel(Network().eval(), size=(32, 16), pooling="max"),
    "clip": lambda: TrackletModel(Network().eval(), size=(32, 16), pooling="max", clip=2),
    "ensemble": lambda: Ensemble([model(), model(Network(seed=1))]),
    "order": lambda: Ensemble([model(Network(seed=1)), model()]),
    "size of a member": lambda: Ensemble([model(), model(Network(seed=1), size=(32, 8))]),
    "defended": lambda: Defended(adv.build_defense("jpeg"), model()),
    "option": lambda: Defended(adv.build_defense("jpeg", quality=50), model()),
    "draws": lambda: Defended(adv.build_defense("rrp_xie"), model(), draws=2),
    "more draws": lambda: Defended(adv.build_defense("rrp_xie"), model(), draws=3),
}


def text(value):
    return json.dumps(facts_of(value), sort_keys=True)


def test_each_difference_between_models_tells():
    facts = {name: text(build()) for name, build in MODELS.items()}
    assert len(set(facts.values())) == len(MODELS)
    assert facts == {name: text(build()) for name, build in MODELS.items()}
    assert not any("0x" in one for one in facts.values())


def test_use_changes_nothing():
    one, function = model(), FunctionDistance(torch.cdist, name="torch:cdist")
    attack = adv.build_attack("ifgsm", eps=8 / 255, steps=2)
    before = [text(part) for part in (one, function, attack)]
    references = adv.References(
        adv.Features(torch.rand(2, 4), torch.tensor([0, 1]), torch.tensor([0, 0]), ("a", "b"))
    )
    attack(
        one,
        Batch(torch.rand(2, 3, 32, 16), pids=torch.tensor([0, 1]), camids=torch.ones(2)),
        references,
    )
    function(torch.rand(2, 4), torch.rand(3, 4))
    one.train()
    assert [text(part) for part in (one, function, attack)] == before


def test_the_digest_has_every_tensor():
    network = Network()
    before = tensors_digest(network)
    tensors = [*network.parameters(), *network.buffers()]
    for tensor in tensors:
        kept = tensor.detach().clone()
        with torch.no_grad():
            tensor.add_(1)
        assert tensors_digest(network) != before
        with torch.no_grad():
            tensor.copy_(kept)
    assert tensors_digest(network) == before
    assert tensors_digest(network.double()) != before


def closure(value):
    return lambda x: x + value


def lines(value):
    return value + 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (closure(1), closure(2)),
        (functools.partial(lines, value=1), functools.partial(lines, value=2)),
        (functools.partial(lines), functools.partial(closure)),
        (np.zeros(2), np.zeros((2, 1))),
        (np.zeros(2, np.float32), np.zeros(1, np.float64)),
        (torch.zeros(2), torch.zeros(2, dtype=torch.int32)),
        (1, 1.5),
        (1, "1"),
        (None, "None"),
        ({"a": 1}, {"a": 2}),
        (float("nan"), float("inf")),
        (b"a", b"b"),
        (torch.float32, torch.float64),
        (build_distance("cosine"), build_distance("euclidean", normalize=True)),
        (build_distance("euclidean"), build_distance("euclidean", normalize=True)),
    ],
)
def test_values_are_told_apart(one, other):
    assert text(one) == text(one)
    assert text(one) != text(other)


def test_an_edited_function_is_another_one(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for name, body in (("first", "a"), ("second", "a * 2")):
        source = f"def distance(a):\n    return {body}\n"
        (tmp_path / f"edited_{name}.py").write_text(source)
        function = __import__(f"edited_{name}").distance
        function.__module__ = "edited"
        found.append(text(function))
    assert found[0] != found[1]


# options that change nothing by themselves; all others have to tell
IDLE = {
    ("nes", "queries"): "rounded down to whole steps",
    ("spsa", "queries"): "rounded down to whole steps",
    ("nes", "temperature"): "of score rank_score only",
    ("spsa", "temperature"): "of score rank_score only",
    ("square", "temperature"): "of score rank_score only",
    ("tifgsm", "smallest"): "of an input diversity that it does not have",
    ("circuitous_scaling", "proportional"): "the default size is the one that presets are of",
}
WORDS = ("bf16", "zero", "random", "best", "last", "self", "minus", "plus", "PGD", "bilinear")


def others(value):
    """Return values to try in the place of one."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, (int, float)):
        return [value + 1, value * 0.5, value * 1.5, value + 0.25]
    if isinstance(value, (tuple, list)):
        return [type(value)([*value, *value]), type(value)(x + 1 for x in value)]
    return [3, 0.002, 1.5] if value is None else [w for w in WORDS if w != value]


def built(name, option=None, value=None):
    """Return the facts of an attack or a defense; None where it takes no such value."""
    options = {} if option is None else {option: value}
    try:
        if name in ATTACKS:
            return text(adv.build_attack(name, **{"eps": 8 / 255, **options}))
        return text(adv.build_defense(name, **options))
    except (adv.ConfigError, TypeError, ValueError):
        return None


def test_each_option_of_each_attack_and_defense_tells():
    silent, tried = set(), 0
    for table in (ATTACKS, DEFENSES):
        for name in table:
            plain = built(name)
            if plain is None:  # needs a file, see test_universal
                continue
            for option, parameter in inspect.signature(table.get(name)).parameters.items():
                default = 8 / 255 if option == "eps" else parameter.default
                values = [value for value in others(default) if value != default]
                facts = [built(name, option, value) for value in values]
                facts = [one for one in facts if one is not None]
                tried += bool(facts)
                if facts and plain in facts:
                    silent.add((name, option))
    assert tried > 100
    assert silent <= IDLE.keys(), silent - IDLE.keys()


class Speaks:
    def __init__(self, shown, hidden):
        self.shown, self.hidden = shown, hidden

    def key_facts(self):
        return {"shown": self.shown}


def test_an_object_may_say_itself_what_decides():
    assert text(Speaks(1, 2)) == text(Speaks(1, 3)) != text(Speaks(2, 2))
    assert text([Speaks(1, 2)]) != text([{"shown": 1}])


def test_what_is_kept_to_save_work_is_named_and_does_not_count():
    class Lazy:
        caches = ("_seen",)

        def __init__(self):
            self._seen = {}
            self._size = 1

        @functools.cached_property
        def total(self):
            return self._size + 1

    one, other = Lazy(), Lazy()
    one._seen["a"] = one.total
    assert text(one) == text(other)
    other._size = 2
    assert text(one) != text(other)


def test_circles_end():
    circle = {"a": 1}
    circle["self"] = circle
    assert facts_of(circle) == {"a": 1, "self": "dict"}


SPEAKING = ("attacks", "core", "defenses", "distances", "evaluation", "models", "transforms")


@pytest.mark.parametrize("room", SPEAKING)
def test_classes_of_a_room_are_told_apart_by_their_names(room):
    folder = Path(adv.__file__).parent / room
    names = [
        node.name
        for path in folder.rglob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
    ]
    assert not {name for name in names if names.count(name) > 1}


def test_the_file_of_a_room_in_which_a_class_lies_decides_nothing():
    attack = adv.build_attack("ifgsm", eps=0.02)
    assert code_of(type(attack)) == "torchreid_adv.attacks.GradientAttack"
