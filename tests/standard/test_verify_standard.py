"""A run of the standard evaluation is held against its files, its hashes and its model."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
import torch
from people import TOY, Stripes, pixel_model, write_people
from PIL import Image

from torchreid_adv import cli, config
from torchreid_adv.core.manifest import FILE_NAME, Entry, Manifest, read_manifest, sha256
from torchreid_adv.core.provenance import FIELD
from torchreid_adv.distances import build_distance
from torchreid_adv.errors import DataError, VerificationError
from torchreid_adv.evaluation import Protocol
from torchreid_adv.standard.judge import Judge
from torchreid_adv.standard.reading import RESULT, manifest_hash, read_result, sealed
from torchreid_adv.standard.run import evaluate_standard
from torchreid_adv.standard.verify import verify_run

SHORT = dataclasses.replace(
    TOY, steps=4, self_steps=2, pulls=1, square=6, noise=2, sample=2, curve=(0,), bootstrap=20
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("verify")
    data = write_people(place / "people", identities=4)
    evaluate_standard(pixel_model(Stripes()), data, out=place / "run", version=SHORT)
    return data, place / "run"


@pytest.fixture
def copy(run, tmp_path):
    """A copy of it that a test may spoil."""
    data, folder = run
    shutil.copytree(folder, tmp_path / "run")
    return data, tmp_path / "run"


def judge(data, network):
    protocol = Protocol(distance=build_distance("euclidean", normalize=True))
    return Judge(pixel_model(network), data, protocol, 1, None)


def rewrite(folder, change):
    """Change a result and seal it again, as somebody would who knows how."""
    result = json.loads((folder / RESULT).read_text())
    change(result)
    (folder / RESULT).write_text(json.dumps(sealed(result)))


def test_what_was_written_fits_and_gives_its_figures(run, capsys):
    data, folder = run
    assert cli.main(["verify", str(folder), "--root", str(data.root)]) == 0
    said = capsys.readouterr().out
    assert "Sealed: " in said
    assert "Files checked: " in said
    assert "the data set 'people' is not known here" in said
    assert "A weak or missing attack cannot be seen from files." in said
    assert "verified" not in said.lower()
    said = verify_run(folder, data.root, judge(data, Stripes()))
    assert re.search(r"Scored again: the model gives its \d{3} values exactly\.", said)
    assert "not known" not in said


def test_a_result_says_where_it_comes_from_and_nobody_can_check_that(run, copy):
    data, folder = run
    before = (folder / RESULT).read_bytes()
    evaluate_standard(pixel_model(Stripes()), data, out=folder, version=SHORT)
    assert (folder / RESULT).read_bytes() == before  # a finished run keeps its date
    origin = read_result(folder / RESULT)[FIELD]
    assert origin["versions"]["torch"] == torch.__version__
    assert origin["device"].startswith("cpu")
    rewrite(copy[1], lambda result: result[FIELD].update(command="another"))
    assert "and command, date, device and versions" in verify_run(
        copy[1], data.root, judge(data, Stripes())
    )
    rewrite(copy[1], lambda result: result.pop(FIELD))  # as versions before wrote it
    verify_run(copy[1], data.root)
    for wrong in ({}, "today", {**origin, "date": 3}, {**origin, "versions": ["2"]}):
        rewrite(copy[1], lambda result, wrong=wrong: result.update({FIELD: wrong}))
        with pytest.raises(DataError, match="'provenance' is not as the program writes it"):
            read_result(copy[1] / RESULT)


def pixels(data, folder):
    """A pixel beyond the bound, and the manifest written to fit."""
    place = folder / "Q-eps14" / "composed"
    manifest = read_manifest(place)
    entry = manifest.stored[0]
    image = np.array(Image.open(place / entry.output))
    image[0, 0, 0] = (int(image[0, 0, 0]) + 100) % 256
    Image.fromarray(image).save(place / entry.output)
    original = np.array(Image.open(data.root / entry.source)).astype(int)
    facts = dataclasses.asdict(entry)
    facts["sha256"] = sha256((place / entry.output).read_bytes())
    facts["linf"], facts["changed"] = int(np.abs(original - image).max()), True
    Manifest(manifest.header, (Entry.of(facts), *manifest.entries[1:])).write(place)
    root = read_manifest(place).root

    def change(result):
        result["tracks"]["Q"]["14"]["manifest"] = root
        result["manifest"] = manifest_hash(result["tracks"])

    rewrite(folder, change)
    return "more than the bound allows"


def gone(data, folder):
    next((folder / "G-eps14" / "composed").rglob("*.png")).unlink()
    return "No such file"


def swapped(data, folder):
    """Another track's images, whole in themselves."""
    shutil.rmtree(folder / "Q-eps14" / "composed")
    shutil.copytree(folder / "G-eps14" / "composed", folder / "Q-eps14" / "composed")
    return "other images than those of the result"


def wider(data, folder):
    """A manifest that allows more."""
    place = folder / "Q-eps14" / "composed"
    manifest = read_manifest(place)
    header = {**manifest.header, "attack": {**manifest.header["attack"], "eps": 255.0}}
    Manifest(header, manifest.entries).write(place)
    return "belongs to another run, track, bound or attack"


def other_model(data, folder):
    rewrite(folder, lambda result: result["model"].update(name="somebody else's"))
    return "its model is not that of"


def cut(data, folder):
    path = folder / "Q-eps14" / "composed" / FILE_NAME
    path.write_bytes(path.read_bytes()[:-10])
    return "cut off"


@pytest.mark.parametrize("spoil", [pixels, gone, swapped, wider, other_model, cut])
def test_what_does_not_fit_is_named_and_ends_with_6(spoil, copy, capsys):
    data, folder = copy
    said = spoil(data, folder)
    assert cli.main(["verify", str(folder), "--root", str(data.root)]) == 6
    assert said in capsys.readouterr().err


def better(result):
    """Raise the robust mAP of every track, with all that says the same."""
    for bounds in result["tracks"].values():
        facts = bounds["14"]
        mean = facts["robust"]["mAP"] = (facts["robust"]["mAP"] + facts["clean"]["mAP"]) / 2
        facts["map_ratio"] = mean / facts["clean"]["mAP"]
        facts["interval"] = [mean, mean]
        rows = facts.get("attacks") or facts["galleries"]
        for row in rows.values():
            row["mAP"] = max(row["mAP"], mean)
            row["draws"] = [row["mAP"]]
            if "left" in row:
                row["left"] = max(row["left"], mean)
                row["before"] = max(row["before"], mean)


def test_numbers_that_the_model_does_not_give_are_named(copy):
    data, folder = copy
    rewrite(folder, better)
    assert "Files checked: " in verify_run(folder, data.root)  # the files fit
    with pytest.raises(VerificationError, match=r"robust.mAP is .* the result says"):
        verify_run(folder, data.root, judge(data, Stripes()))


def test_another_model_gives_other_figures(run):
    data, folder = run
    with pytest.raises(VerificationError, match=r"applies to|the result says"):
        verify_run(folder, data.root, judge(data, Stripes(seed=9, gain=30)))


def test_a_result_changed_by_hand_is_refused(copy, capsys):
    data, folder = copy
    text = (folder / RESULT).read_text()
    mean = read_result(folder / RESULT)["tracks"]["Q"]["14"]["robust"]["mAP"]
    (folder / RESULT).write_text(text.replace(repr(mean), repr(mean * 0.99)))
    assert cli.main(["verify", str(folder), "--root", str(data.root)]) == 3
    assert "changed by hand" in capsys.readouterr().err
    with pytest.raises(DataError, match="does not match its own hash"):
        read_result(folder / RESULT)


def test_a_plain_folder_takes_the_flags_of_its_data_set(run, capsys):
    data, folder = run
    place = str(folder / "Q-eps14" / "composed")
    assert cli.main(["verify", place, "--root", str(data.root), "adv.standard.version", "l"]) == 2
    config.forget()
    assert cli.main(["verify", place, "--root", str(data.root), "data.split_id", "1"]) == 0
    assert "Files checked: " in capsys.readouterr().out
