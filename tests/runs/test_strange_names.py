"""Images whose names cannot be in a manifest are left out, and the manifest names them."""

import os
import shutil

import pytest
import torch
from markets import write_market

import torchreid_adv as adv
from torchreid_adv import cli
from torchreid_adv.core.manifest import OK, read_manifest

NAMES = [
    b"0101_c1s1_000900_0\n1.jpg", b"0101_c1s1_000901_\xff\xfe.jpg",
    b"0101_c1s1_000902_a\\b.jpg", "0101_c1s1_000903_\u202e.jpg".encode(),
]  # fmt: skip


@pytest.mark.usefixtures("no_pages")
@pytest.mark.skipif(os.name != "posix", reason="names of bytes")
def test_they_are_left_out_in_a_form_that_is_read_back(tmp_path, capsys):
    market = write_market(tmp_path / "data", cameras=2, images=1, sizes=((24, 12),))
    folder = market / "market1501" / "Market-1501-v15.09.15" / "bounding_box_test"
    good = next(folder.glob("0101_*.jpg"))
    for name in NAMES:
        shutil.copy(good, os.path.join(os.fsencode(folder), name))
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 24 * 12, 8))
    model = adv.PixelModel(network, size=(24, 12))
    attack = adv.build_attack("fgsm", eps=4 / 255)
    data = adv.load_dataset("market1501", root=market)
    adv.attack_dataset(model, data, attack, out=tmp_path / "out", quarantine=True)
    variant = tmp_path / "out" / "market1501" / "adversarial"
    left_out = [entry for entry in read_manifest(variant).entries if entry.status != OK]
    found = {os.fsencode(entry.image_id) for entry in left_out}
    assert found == {b"bounding_box_test/" + name for name in NAMES}
    assert {os.fsencode(entry.source).split(b"/")[-1] for entry in left_out} == set(NAMES)
    assert all(entry.status.startswith("left out: ") for entry in left_out)
    capsys.readouterr()
    assert cli.main(["verify", str(variant), "--root", str(market)]) == 0
    assert cli.main(["verify", str(tmp_path / "out"), "--root", str(market)]) == 0
    assert "Files checked: " in capsys.readouterr().out


@pytest.mark.usefixtures("no_pages")
def test_a_good_image_that_was_left_out_is_named(tmp_path, capsys):
    market = write_market(tmp_path / "data", cameras=2, images=1, sizes=((24, 12),))
    folder = market / "market1501" / "Market-1501-v15.09.15" / "bounding_box_test"
    path = next(folder.glob("0101_*.jpg"))
    content = path.read_bytes()
    path.write_bytes(content[:-40])
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 24 * 12, 8))
    model = adv.PixelModel(network, size=(24, 12))
    data = adv.load_dataset("market1501", root=market)
    attack = adv.build_attack("fgsm", eps=4 / 255)
    adv.attack_dataset(model, data, attack, out=tmp_path / "out", quarantine=True)
    variant = tmp_path / "out" / "market1501" / "adversarial"
    assert cli.main(["verify", str(variant), "--root", str(market)]) == 0
    path.write_bytes(content)
    assert cli.main(["verify", str(variant), "--root", str(market)]) == 6
    assert "its original is a good image" in capsys.readouterr().err
