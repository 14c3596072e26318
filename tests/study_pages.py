"""What the pages on studies show of the results in docs/results, between markers.

``UPDATE_DOCS=1 pytest tests/test_docs_studies.py`` writes it anew; without it the test compares.
"""

import json
import re

from pages import ROOT

from torchreid_adv import config
from torchreid_adv.benchmarks import standard_versions
from torchreid_adv.config.torchreid_keys import default_config
from torchreid_adv.experiments import calibration
from torchreid_adv.experiments.calibrated import NOT_CALIBRATED, Calibrated, leaves
from torchreid_adv.experiments.claims import readings_table
from torchreid_adv.experiments.figures import effects_figure
from torchreid_adv.experiments.study_file import read_study
from torchreid_adv.experiments.verdicts import COLUMNS, verdict_cells, verdict_table, verdicts
from torchreid_adv.registry import STUDIES
from torchreid_adv.report.table import markdown_table

COMPARED = ("data", "loss", "train")  # what of a config a result must agree with
COMPARED += tuple(f"adv.{name}" for name in ("attack", "schedule", "start", "study", "virtual"))
PLACES = ("data.save_dir", "data.root", "adv.study.calibration")
RESULTS = ROOT / "docs" / "results"
MARKED = re.compile(r"(<!-- results: ([^>]+) -->\n)(.*?)(<!-- /results -->)", re.DOTALL)
PAGE_OF = {"video_weights": "video"}  # studies that stand on another one's page
SHOWN = ("claim", "paper", "here", "visible from", "verdict")
IMAGES = ROOT / "docs" / "images"
ANSWERS = "Answers next to the ranges of real weights"
NO_RESULT = "No result is kept for this version."


def claims_of(study):
    return STUDIES.facts(study).get("claims", ()) if study in STUDIES else ()


def result_of(stem):
    """Return the study.json kept under a name, None where there is none."""
    path = RESULTS / f"{stem}.json"
    if not path.is_file():
        return None
    study = json.loads(path.read_text())["study"]
    return read_study(path, claims_of(study))


def decided(stem):
    """Return the verdicts of a result; those of a study without one all say "not run"."""
    result = result_of(stem)
    if result is None:
        return verdicts(claims_of(stem), [])
    facts = result.calibrated
    known = Calibrated.from_dict(facts) if facts else NOT_CALIBRATED
    return verdicts(claims_of(result.study), result.cases, known)


def all_verdicts():
    """The table of all studies' verdicts."""
    rows = []
    for study in STUDIES:
        page = f"[{study}](study_{PAGE_OF.get(study, study)}.md)"
        for verdict in decided(study):
            cells = dict(zip(COLUMNS, verdict_cells(verdict), strict=True))
            rows.append([page, *(cells[column] for column in SHOWN)])
    return markdown_table(("study", *SHOWN), rows)


def readings(stem):
    result = result_of(stem)
    return readings_table(result.readings) if result else NO_RESULT


def beside_real_weights(stem):
    return calibration.ranges(result_of(stem).readings).markdown(level=0)


def _config_file(content, pairs=()):
    """Return the values of a result's config file with some pairs."""
    cfg = default_config()
    cfg.merge_from_file(str(ROOT / "configs" / "study" / f"{content['config_file']}.yaml"))
    cfg.merge_from_list(list(pairs))
    config.forget()
    return config.plain(cfg)


def differences(content, pairs):
    """Return the pairs by which a result's config differs from its file's with some pairs."""
    now, then = (dict(leaves(one)) for one in (_config_file(content, pairs), content["config"]))
    found = []
    for key, value in then.items():
        decides = any(f"{key}.".startswith(f"{name}.") for name in COMPARED)
        if decides and key not in PLACES and key in now and now[key] != value:
            found += [key, value]
    return found


def command(stem):
    """Return the command that made a result; "" without one."""
    path = RESULTS / f"{stem}.json"
    if not path.is_file():
        return ""
    content = json.loads(path.read_text())
    words = [content["study"], "--config-file", f"configs/study/{content['config_file']}.yaml"]
    stored, file = (dict(leaves(one)) for one in (content["config"], _config_file(content)))
    places = ("adv.study.calibration", "data.save_dir")
    pairs = [w for key in places if stored[key] != file[key] for w in (key, stored[key])]
    words += [f'"{w}"' if " " in w else w for w in map(str, [*content["pairs"], *pairs])]
    return f"Made by `torchreid-adv study {' '.join(words)}`."


def picture_of(stem):
    """Return where the figure of a result lies, and the figure; (path, None) without a result."""
    path = IMAGES / f"study_{stem}.png"
    result = result_of(stem)
    if result is None:
        return path, None
    if claims_of(result.study):
        return path, effects_figure(decided(stem))
    return path, calibration.ranges_figure(result.readings)


def frontier_of(stem):
    """Return where the frontier of a result lies, and the figure; (path, None) without a result."""
    path, result = IMAGES / f"study_{stem}_frontier.png", result_of(stem)
    return path, result and STUDIES.facts(result.study)["figures"](result.readings)[
        "frontier"
    ].content


def frontier(stem):
    """Return the link to the frontier of a result; "" without a result."""
    path, figure = frontier_of(stem)
    return f"![The best result at each cost](images/{path.name})" if figure else ""


def versions(stem):
    """Return the table of both versions of the standard evaluation."""
    return standard_versions.table(json.loads((RESULTS / f"{stem}.json").read_text()))


def picture(stem):
    """Return the link to the figure of a result; "" without a result."""
    path, figure = picture_of(stem)
    words = "Effects with their intervals" if claims_of(stem) else ANSWERS
    return f"![{words}](images/{path.name})" if figure else ""


PARTS = {
    "command": command,
    "picture": picture,
    "frontier": frontier,
    "verdicts": lambda stem: verdict_table(decided(stem)),
    "readings": readings,
    "calibration": beside_real_weights,
    "versions": versions,
}


def shown(what):
    """Return what stands between markers, by what they ask for: ``STEM PART`` or ``verdicts``."""
    stem, _, part = what.partition(" ")
    return PARTS[part](stem) if part else all_verdicts()


def written(text):
    """Return a page with all that stands between markers written anew."""
    return MARKED.sub(lambda found: f"{found[1]}{shown(found[2])}\n{found[4]}", text)


def prose(text):
    """Return a page without what stands between markers."""
    return MARKED.sub("", text)
