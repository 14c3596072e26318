"""Configs: a named error with exit code 2, before anything is loaded, whatever is wrong."""

import signal

import pytest

from fuzz.configs import Case, cases
from torchreid_adv import cli, config
from torchreid_adv.integration.layout import torchreid_module

STEP = 6  # the sample: every so many


@pytest.fixture
def no_model(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a model was built")

    monkeypatch.setattr(torchreid_module("models"), "build_model", refuse)


def refused(case, folder, capsys):
    """Run a command with the config; say what is wrong with what it said, "" for nothing."""
    folder.mkdir()
    config.forget()
    signal.alarm(10)
    try:
        code = cli.main(["attack-gallery", *case.arguments(folder)])
    finally:
        signal.alarm(0)
    said = capsys.readouterr()
    line = said.err.rstrip("\n")
    wrong = []
    if code != 2:
        wrong.append(f"exit code {code}")
    if not (line.startswith("error: ") and line.isprintable() and len(line) < 1000):
        wrong.append("no one clear sentence")
    if case.names not in line:
        wrong.append(f"does not name {case.names!r}")
    if said.out:
        wrong.append("went on")
    return "; ".join(wrong) and f"{case}: {'; '.join(wrong)}: {line}"[:1500]


def run(found, tmp_path, capsys, tally):
    faults = []
    for number, case in enumerate(found):
        try:
            wrong = refused(case, tmp_path / str(number), capsys)
        except Exception as error:
            wrong = f"{case}: {error!r}"[:1500]
        tally("configs", case.kind, "wrong" if wrong else "refused (2)")
        faults += [wrong] if wrong else []
    assert not faults, f"{len(faults)} of {len(found)}:\n" + "\n".join(faults)
    assert not (tmp_path / "marker").exists()


@pytest.mark.usefixtures("no_model")
def test_some_wrong_configs(tmp_path, capsys, tally):
    run(cases(tmp_path / "marker")[::STEP], tmp_path, capsys, tally)


@pytest.mark.slow
@pytest.mark.usefixtures("no_model")
def test_all_wrong_configs(tmp_path, capsys, tally):
    found = cases(tmp_path / "marker")
    assert len(found) >= 300
    run([c for n, c in enumerate(found) if n % STEP], tmp_path, capsys, tally)


@pytest.mark.parametrize("start", ["", "\ufeff", "# a comment\n", "---\n"])
@pytest.mark.parametrize(
    "content",
    ["adv: {attack: {eps: 8}}", "adv: {attack: {eps: 8.0, steps: &n 5}, virtual: {seed: *n}}"],
)
def test_good_configs_pass(tmp_path, capsys, start, content):
    case = Case("good", "", start + content)
    assert cli.main(["attack-gallery", *case.arguments(tmp_path)]) == 0
    assert "\n  attack:\n    eps: 8.0" in capsys.readouterr().out
