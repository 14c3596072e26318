"""Functions of Python and commands give the same numbers, and say the same of themselves."""

import inspect
import json

import numpy as np
import pytest
import torch
from markets import write_market
from scripts import tiny_classifier, tiny_model  # register networks

import torchreid_adv as adv
from torchreid_adv import cli, config
from torchreid_adv.core.provenance import FIELD, without
from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.standard.reading import SEAL

PEOPLE = {
    "adv.virtual.height": 64, "adv.virtual.width": 32, "adv.virtual.distractors": 2,
    "adv.virtual.train_identities": 4, "adv.virtual.test_identities": 4,
    "adv.virtual.cameras_per_identity": 2, "adv.virtual.images_per_camera": 2,
}  # fmt: skip
PLUGIN = {"adv.plugins": ["scripts.tiny_model"], "adv.report.page": False}
EPS = 8 / 255


@pytest.fixture(autouse=True)
def forgotten():
    config.forget()
    yield
    config.forget()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("python")
    write_market(folder / "data", identities=3, cameras=2, images=1)
    for seed in (1, 2):
        torch.manual_seed(seed)
        network = tiny_model.Tiny()
        network.norm.weight.data.uniform_(0.5, 2)
        torch.save(network.state_dict(), folder / f"{seed}.pth")
    return folder


def entry(place, seed=1):
    return f"tiny@64x32:{place / f'{seed}.pth'}"


def pairs(keys):
    return [word for key, value in keys.items() for word in (key, str(value))]


def command(name, *words):
    assert cli.main([name, *map(str, words)]) == 0
    config.forget()


def tables(path):
    return json.loads(path.read_text())


def test_an_attack(place, tmp_path):
    keys = {
        "data.save_dir": tmp_path / "command", "data.workers": 0, "adv.attack.eps": 8,
        "adv.attack.steps": 6, "adv.attack.step_size": 2, "model.name": "tiny",
        "test.normalize_feature": True,
        "model.load_weights": place / "1.pth", "data.height": 64, "data.width": 32,
    }  # fmt: skip
    command("attack-gallery", "-t", "market1501", "--root", place / "data", *pairs(PLUGIN | keys))
    attacked = adv.attack_dataset(
        entry(place), "market1501", "ifgsm", eps=EPS, steps=6, step_size=2 / 255,
        root=place / "data", out=tmp_path / "python", page=False,
    )  # fmt: skip
    typed, called = (
        tables(tmp_path / kind / "results.json")["targets"]["market1501"]
        for kind in ("command", "python")
    )
    for facts in (typed, called):
        del facts["images_per_second"]
    assert called.pop("attack") == typed.pop("attack")
    assert called == typed
    assert isinstance(attacked, ReIDData)
    row = attacked.result.rows()[1]
    assert row["condition"] == "adversarial"
    assert row["mAP"] == typed["adversarial"]["mAP"] < typed["clean"]["mAP"]
    assert row["eps"] == 8
    for one, other in zip(
        sorted((tmp_path / "command").rglob("*.png")), sorted((tmp_path / "python").rglob("*.png")),
        strict=True,
    ):  # fmt: skip
        assert one.name == other.name
        assert one.read_bytes() == other.read_bytes()
    side_by_side = adv.compare(tmp_path / "command", attacked.result)
    assert [row["run"] for row in side_by_side.rows()] == ["command", "python"]
    measures = [[row[name] for name in side_by_side.shares()] for row in side_by_side.rows()]
    assert measures[0] == measures[1]
    assert row["mAP"] in measures[0]
    assert "Rank-1" in side_by_side.text()
    scores = adv.evaluate(entry(place), attacked)
    assert scores.mAP == pytest.approx(row["mAP"], abs=1e-6)


def test_a_run_says_what_was_called_and_goes_on_another_day(place, tmp_path, monkeypatch):
    def run():
        return adv.attack_dataset(
            entry(place), "market1501", "fgsm", eps=EPS, root=place / "data", out=tmp_path,
            quiet=True,
        )  # fmt: skip

    first = run().result.content
    origin = first["provenance"]
    assert origin["command"].startswith(f"adv.attack_dataset(model='{entry(place)}', data='market")
    assert origin["command"] in (tmp_path / "report.html").read_text().replace("&#39;", "'")
    images = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("adversarial/**/*.png")}
    monkeypatch.setattr(adv.core.provenance, "_typed", lambda: "another day")
    second = run().result.content
    assert {p: p.stat().st_mtime_ns for p in images} == images  # nothing was attacked again
    targets = [dict(content["targets"]["market1501"]) for content in (first, second)]
    for facts in targets:
        del facts["images_per_second"]
    assert targets[0] == targets[1]
    assert without(tables(tmp_path / "run.json"))


def test_a_transfer_of_entries_and_of_modules(place, tmp_path):
    root = place / "people"
    settings = PEOPLE | PLUGIN
    models = {"a": entry(place), "b": entry(place, 2)}
    listed = [f"{label}={text}" for label, text in models.items()]
    keys = settings | {
        "adv.transfer.models": listed, "adv.transfer.eps": [4.0, 8.0],
        "adv.transfer.attacks": ["ifgsm"],
        "data.save_dir": tmp_path / "command", "data.workers": 0,
    }  # fmt: skip
    command("transfer", "-t", "virtual_a", "--root", root, *pairs(keys))
    bounds = [4 / 255, EPS]
    table = adv.transfer(
        models, "virtual_a", attacks="ifgsm", eps=bounds, root=root, out=tmp_path / "python",
        settings=settings,
    )  # fmt: skip
    typed = tables(tmp_path / "command" / "transfer.json")
    assert tables(tmp_path / "python" / "transfer.json") == typed
    assert (tmp_path / "python" / "transfer.md").read_text() == table.markdown() + "\n"
    loaded = {label: adv.load_model(text) for label, text in models.items()}
    modules = adv.transfer(
        loaded, "virtual_a", attacks=["ifgsm"], eps=bounds, root=root, out=tmp_path / "modules",
        settings=settings, quiet=True,
    )  # fmt: skip
    for at_hand, named in zip(modules.rows(), table.rows(), strict=True):
        assert at_hand == named
    assert [row["eps"] for row in table.rows()] == [4, 4, 8, 8] * 2
    assert len({row["mAP"] for row in table.rows()}) > 1


def test_a_sweep(place, tmp_path):
    root, settings = place / "people", PEOPLE | PLUGIN
    keys = settings | {
        "adv.transfer.models": [f"t={entry(place)}"], "adv.transfer.eps": [2.0, 8.0],
        "adv.transfer.attacks": ["ifgsm"],
        "data.save_dir": tmp_path / "command", "data.workers": 0,
    }  # fmt: skip
    command("sweep", "-t", "virtual_a", "--root", root, *pairs(keys))
    table = adv.sweep(
        {"t": entry(place)}, "virtual_a", eps=[2 / 255, EPS], attacks="ifgsm", root=root,
        out=tmp_path / "python", settings=settings,
    )  # fmt: skip
    assert tables(tmp_path / "python" / "transfer.json") == tables(
        tmp_path / "command" / "transfer.json"
    )
    assert (tmp_path / "python" / "sweep_virtual_a.png").is_file()
    assert "sweep virtual a" in table.pictures()
    with pytest.raises(ConfigError, match=r"adv\.transfer takes several"):
        adv.sweep([entry(place), entry(place, 2)], "virtual_a")


def test_the_standard_evaluation(place, tmp_path):
    settings = PEOPLE | PLUGIN
    keys = settings | {
        "adv.standard.models": [f"t={entry(place)}"], "adv.standard.version": "lite",
        "data.save_dir": tmp_path / "command", "adv.report.page": False, "data.workers": 0,
        "test.normalize_feature": True,
    }  # fmt: skip
    root = place / "people"
    command("standard", "-t", "virtual_a", "--root", root, *pairs(keys))
    (result,) = adv.standard(
        {"t": entry(place)}, "virtual_a", version="lite", root=root, out=tmp_path / "python",
        page=False, settings=settings | {"test.normalize_feature": True}, quiet=True,
    )  # fmt: skip
    typed = tables(tmp_path / "command" / "virtual_a" / "t" / "standard.json")
    found = dict(result.content)
    assert found[FIELD]["command"].startswith("adv.standard(models={'t': ")
    assert typed[FIELD]["command"].startswith("torchreid-adv standard -t virtual_a ")
    for name in (FIELD, SEAL):
        assert found.pop(name) != typed.pop(name)
    assert found == typed
    assert result.path == tmp_path / "python" / "virtual_a" / "t" / "standard.json"
    assert "SRR-lite" in repr(result)
    assert result.text().splitlines()[0] == "** SRR-lite: t on virtual_a **"
    assert adv.load_result(result.path.parent).content == result.content


def test_a_training(place, tmp_path):
    settings = PEOPLE
    keys = settings | {
        "model.name": "tiny_classifier", "data.save_dir": tmp_path / "command",
        "data.workers": 0, "train.max_epoch": 2, "train.batch_size": 4, "data.height": 64,
        "data.width": 32, "model.pretrained": False, "train.seed": 3,
    }  # fmt: skip
    root = place / "people"
    command("train", "-s", "virtual_a", "-t", "virtual_a", "--root", root, *pairs(keys))
    told = []
    trained = adv.train(
        "tiny_classifier", "virtual_a", epochs=2, batch_size=4, size=(64, 32), seed=3, workers=0,
        pretrained=False, root=root, out=tmp_path / "python", settings=settings, quiet=True,
        progress=lambda *work: told.append(work),
    )  # fmt: skip
    weights = [
        torch.load(tmp_path / kind / "model" / "model.pth.tar-2", weights_only=False)["state_dict"]
        for kind in ("command", "python")
    ]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert [work for work in told if work[0] == "training"] == [
        ("training", 1, 2), ("training", 2, 2)
    ]  # fmt: skip
    assert trained.weights == tmp_path / "python" / "model" / "model.pth.tar-2"
    assert trained.model().size == (64, 32)
    assert trained.rows()[0]["mAP"] == trained.results["virtual_a"].mAP
    assert "virtual_a mAP" in repr(trained)


def test_records_and_data_sets_at_hand(place, tmp_path, capsys):
    data = adv.load_dataset("market1501", root=place / "data")
    records = {side: data.side(side) for side in ("query", "gallery")}
    told = []
    keywords = {"eps": EPS, "quiet": True, "progress": lambda *work: told.append(work)}
    attack = {"attack": "fgsm", "page": False, **keywords}
    one = adv.attack_dataset(entry(place), records, out=tmp_path / "1", **attack)
    two = adv.attack_dataset(entry(place), data, out=tmp_path / "2", **attack)
    table = adv.transfer(
        entry(place), [data, records], attacks="fgsm", out=tmp_path / "3", settings=PLUGIN,
        **keywords,
    )  # fmt: skip
    assert capsys.readouterr().out == ""
    assert any(done == total for _, done, total in told)
    rates = [two.result.rows()[1]["mAP"], one.result.rows()[1]["mAP"]]
    assert [row["mAP"] for row in table.rows()] == rates
    assert [row["data"] for row in table.rows()] == ["market1501", "records"]
    assert adv.evaluate(entry(place), "market1501", root=place / "data").mAP == pytest.approx(
        table.rows()[0]["clean mAP"]
    )
    with pytest.raises(ConfigError, match="'query': records"):
        adv.transfer(entry(place), {"query": data.query}, out=tmp_path / "4")
    with pytest.raises(ConfigError, match="an entry such as"):
        adv.transfer([3], data, out=tmp_path / "4")
    with pytest.raises(ConfigError, match=r"pass 8 / 255"):
        adv.transfer(entry(place), data, eps=8, out=tmp_path / "4")
    with pytest.raises(ConfigError, match="stepz"):
        adv.attack_dataset(entry(place), data, "ifgsm", stepz=3, out=tmp_path / "4")


def test_a_call_leaves_the_remembered_config_and_the_hooks_alone(place, tmp_path):
    mine = config.add_adv_config(config.AdvConfig())
    data = adv.load_dataset("market1501", root=place / "data")
    adv.transfer(entry(place), data, attacks="fgsm", out=tmp_path, settings=PLUGIN, quiet=True)
    assert config.current() is mine
    engine = adv.integration.layout.torchreid_module("engine.engine").Engine
    assert "torchreid_adv" not in engine.run.__code__.co_filename


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(DataError, match="finished run"):
        adv.load_result(tmp_path)
    for name in ("results.json", "transfer.json", "standard.json"):
        for content in ("{", "[]", "{}", '{"targets": 3}', '[{"a": 1}]'):
            (tmp_path / name).write_text(content)
            with pytest.raises(DataError):
                adv.load_result(tmp_path)
        (tmp_path / name).unlink()


def test_the_room_of_the_standard_evaluation_can_be_called():
    import torchreid_adv.standard.versions

    assert callable(adv.standard)
    assert torchreid_adv.standard.versions.STANDARD.name == "standard"
    with pytest.raises(ConfigError):
        adv.standard([3], "market1501")


def test_names_are_listed():
    assert tiny_classifier.__name__.rpartition(".")[2] in adv.list_models("tiny*")
    assert "osnet_x1_0" in adv.list_models("OSNET*")
    assert set(adv.list_models("osnet*")) < set(adv.list_models())
    formats = adv.list_formats()
    assert formats["fastreid"].startswith("fastreid:")
    assert list(adv.list_formats("tim*")) == ["timm"]


@pytest.mark.parametrize("name", ["attack_dataset", "transfer", "train", "standard"])
def test_each_long_function_can_be_quiet_and_tell_its_progress(name):
    function = adv._public(name)
    known = inspect.signature(function).parameters
    assert {"quiet", "progress", "out", "root"} <= known.keys()
    assert np.all([f"{key}:" in inspect.getdoc(function) for key in known])
