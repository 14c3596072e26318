import json
import shutil

import numpy as np
import pytest
import torch
from markets import write_market
from PIL import Image

import torchreid_adv as adv
from torchreid_adv import cli
from torchreid_adv.core.manifest import FILE_NAME, Entry, Manifest, read_manifest, sha256


def attacked_market(place, *, resize="pillow", **settings):
    """Attack a small market through a network of random weights; return it and the run's folder."""
    market = write_market(place / "data", sizes=((64, 32), (40, 24)))
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 16, 8))
    model = adv.PixelModel(network, size=(32, 16), resize=resize)
    attack = adv.build_attack("ifgsm", eps=8 / 255)
    data = adv.load_dataset("market1501", root=market)
    adv.attack_dataset(model, data, attack, out=place / "out", chunk=4, **settings)
    return market, place / "out"


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    market, out = attacked_market(tmp_path_factory.mktemp("stored"))
    return market, out / "market1501" / "adversarial"


@pytest.fixture
def stored_images(stored, tmp_path):
    """A copy of it that a test may spoil."""
    market, folder = stored
    shutil.copytree(market, tmp_path / "data")
    shutil.copytree(folder, tmp_path / "variant")
    return tmp_path / "data", tmp_path / "variant"


def run(market, folder):
    return cli.main(["verify", str(folder), "--root", str(market)])


def some(folder, attacked):
    return next(e for e in read_manifest(folder).stored if e.attacked == attacked)


def test_what_was_written_is_right(stored, capsys):
    assert run(*stored) == 0
    said = capsys.readouterr().out
    assert "63 images match the manifest; largest difference 8 of 255" in said
    assert read_manifest(stored[1]).root in said


def missing(market, folder):
    (folder / some(folder, True).output).unlink()
    return "No such file"


def too_many(market, folder):
    (folder / "query" / "more.png").write_bytes(b"")
    return "query/more.png: not in the manifest"


def one_bit(market, folder):
    path = folder / some(folder, True).output
    path.write_bytes(path.read_bytes() + b"\0")
    return "its bytes have changed"


def original(market, folder):
    path = market / some(folder, False).source
    path.write_bytes(path.read_bytes() + b"\0")
    return "has changed"


def beyond(market, folder):
    """One pixel of one image is 9 levels off, and the manifest was made to agree."""
    manifest = read_manifest(folder)
    entry = some(folder, True)
    path = folder / entry.output
    with Image.open(path) as image:
        levels = np.array(image)
    with Image.open(market / entry.source) as image:
        clean = np.array(image)
    levels[0, 0, 0] = clean[0, 0, 0] + (9 if clean[0, 0, 0] < 128 else -9)
    Image.fromarray(levels).save(path)
    facts = {**vars(entry), "linf": 9, "sha256": sha256(path.read_bytes())}
    entries = tuple(Entry.of(facts) if e is entry or e == entry else e for e in manifest.entries)
    Manifest(manifest.header, entries).write(folder)
    return "more than the bound allows"


def twice(market, folder):
    manifest = read_manifest(folder)
    Manifest(manifest.header, (*manifest.entries, manifest.entries[0])).write(folder)
    return "named twice"


def another_size(market, folder):
    path = folder / some(folder, False).output
    Image.new("RGB", (3, 3)).save(path)
    return "is (3, 3) pixels"


@pytest.mark.parametrize(
    "spoil", [missing, too_many, one_bit, original, beyond, twice, another_size]
)
def test_what_is_wrong_is_found(stored_images, spoil, capsys):
    sentence = spoil(*stored_images)
    assert run(*stored_images) == 6
    assert sentence in capsys.readouterr().err


def test_a_manifest_that_was_edited_is_no_manifest(stored_images, capsys):
    path = stored_images[1] / FILE_NAME
    lines = path.read_text().splitlines()
    lines[1] = json.dumps(json.loads(lines[1]) | {"pid": 77}, sort_keys=True)
    path.write_text("\n".join(lines) + "\n")
    assert run(*stored_images) == 3
    assert "changed by hand" in capsys.readouterr().err


@pytest.fixture(scope="module")
def at_network_size(tmp_path_factory):
    """The same, attacked and stored at the size of the network's input."""
    return attacked_market(tmp_path_factory.mktemp("network"), space="network")


def test_images_attacked_at_network_size_are_held_against_resized_originals(
    at_network_size, capsys
):
    market, out = at_network_size
    folder = out / "market1501" / "adversarial"
    assert run(market, folder) == 0
    assert "largest difference 8 of 255" in capsys.readouterr().out
    entries = [entry for entry in read_manifest(folder).stored if entry.attacked]
    assert {entry.size for entry in entries} == {(32, 16)}
    for entry in entries:
        with Image.open(market / entry.source) as image:  # Pillow's own bilinear, as torchreid's
            original = np.array(image.convert("RGB").resize((16, 32), Image.Resampling.BILINEAR))
        stored = np.array(Image.open(folder / entry.output))
        assert np.abs(stored.astype(int) - original).max() == entry.linf <= 8


def test_images_are_held_against_originals_resized_as_they_were(tmp_path, capsys):
    market, out = attacked_market(tmp_path, space="network", resize="bicubic")
    folder = out / "market1501" / "adversarial"
    assert run(market, folder) == 0
    manifest = read_manifest(folder)
    assert manifest.header["resize"] == {"resize": "bicubic"}
    for entry in (entry for entry in manifest.stored if entry.attacked):
        with Image.open(market / entry.source) as image:
            original = np.array(image.convert("RGB").resize((16, 32), Image.Resampling.BICUBIC))
        stored = np.array(Image.open(folder / entry.output))
        assert np.abs(stored.astype(int) - original).max() == entry.linf <= 8
    (folder / "manifest.jsonl").write_text(
        (folder / "manifest.jsonl")
        .read_text()
        .replace('"resize": {"resize": "bicubic"}', '"resize": {}')
    )
    assert run(market, folder) == 3


def test_network_space_hurts_a_model_more_than_the_stored_size_does(at_network_size, stored):
    measures = [
        json.loads((out / "results.json").read_text())["targets"]["market1501"]
        for out in (at_network_size[1], stored[1].parents[1])
    ]
    network, own = (one["positive_distance"]["adversarial"] for one in measures)
    assert measures[0]["attack"]["space"] == "network"
    assert network > own


def test_a_variant_without_copies_holds_the_attacked_images_alone(stored, tmp_path, capsys):
    market, out = attacked_market(tmp_path, copies=False)
    lean, whole = (read_manifest(f) for f in (out / "market1501" / "adversarial", stored[1]))
    assert lean.entries == tuple(entry for entry in whole.entries if entry.attacked)
    assert run(market, out / "market1501" / "adversarial") == 0
    figures = [
        json.loads((place / "results.json").read_text())["targets"]["market1501"]["adversarial"]
        for place in (out, stored[1].parents[1])
    ]
    assert figures[0] == figures[1]
    assert (out / "report.html").stat().st_size > 100_000
    capsys.readouterr()


def test_models_of_several_sizes_have_no_network_size(stored, tmp_path):
    members = [
        adv.PixelModel(torch.nn.Flatten(), size=size).eval() for size in ((32, 16), (24, 12))
    ]
    data = adv.load_dataset("market1501", root=stored[0])
    attack = adv.build_attack("fgsm", eps=8 / 255)
    with pytest.raises(adv.ConfigError, match="24x12, 32x16; use space stored"):
        adv.attack_dataset(adv.Ensemble(members), data, attack, out=tmp_path, space="network")
    assert not (tmp_path / "market1501" / "adversarial").exists()
