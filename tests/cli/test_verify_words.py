"""``verify``: what stands where its folder, its flags or its model would."""

import re

import pytest

from torchreid_adv import cli

WRONG = {  # what is typed -> what is said
    "osnet_x1_0:a.pth run": "'osnet_x1_0:a.pth' is a model; verify takes the folder of a run",
    "gone.pth run": "'gone.pth' is a model; verify takes the folder",
    "a.pth": "'a.pth' is a file; verify takes the folder of a run first.*as in: verify .",
    "run/results.json": "'run/results.json' is a file; .* as in: verify run",
    "-t people.csv run": "'people.csv' is a file; verify takes the folder of a run first",
    "rum": "there is no folder 'rum'.*verify takes the folder of a run first",
    "market1501": "there is no folder 'market1501'",
    "run osnet_x1_0:a.pth": r"'osnet_x1_0:a.pth' is neither a flag nor a key; a model is named as "
    r"in the run, by adv.attack.models \"\['osnet_x1_0:a.pth'\]\", or adv.standard.models",
    "run osnet_x1_0": "'osnet_x1_0' is neither a flag nor a key",
    "run other": "verify takes one folder, got 'run' and 'other'",
    "run --dry-run": "has no dry run; leave --dry-run out",
    "run adv.attack.models": "'adv.attack.models' has no value",
    "run adv.atack.eps 4": "unknown config key 'adv.atack'; did you mean 'adv.attack'",
    "--root data": "required: folder",
}


@pytest.mark.parametrize("words", WRONG)
def test_a_word_in_the_wrong_place_is_one_sentence(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("run", "other"):
        (tmp_path / name).mkdir()
    for name in ("a.pth", "people.csv", "run/results.json"):
        (tmp_path / name).write_text("{}")
    try:
        code = cli.main(["verify", *words.split()])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    (sentence,) = capsys.readouterr().err.strip().splitlines()
    assert re.search(f"^error: .*{WRONG[words]}", sentence), sentence
