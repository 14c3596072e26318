"""What makes a command of the documents short: ``KEY value`` pairs that only shrink it."""

import re

SIZES = {"data.height": 32, "data.width": 16, "train.max_epoch": 1, "train.batch_size": 8}
SIZES |= {"sampler.num_instances": 2, "test.batch_size": 20, "adv.video.min_length": 2}
PEOPLE = {"height": 64, "width": 32, "distractors": 1, "train_identities": 4, "frames": 2}
PEOPLE |= {"test_identities": 3, "cameras_per_identity": 2, "images_per_camera": 2}
LEARNING = {"adv.scenarios.batch": 8, "adv.scenarios.instances": 2, "adv.scenarios.epochs": 1}
LEARNING |= {"adv.meta.iterations": 1}
LEARNING |= {"adv.start.identities": 4, "adv.start.epochs": 2, "adv.start.half_size": 1}
LEARNING |= {"adv.start.warmup": 1, "adv.start.batch": 8, "adv.schedule.warmup": 0}
HERE = {"data.workers": 0, "use_gpu": False, "model.pretrained": False}  # nothing is fetched
ALL = SIZES | LEARNING | HERE | {f"adv.virtual.{key}": value for key, value in PEOPLE.items()}

LEARNED = "universal|mis_ranking"  # attacks without steps
SHORTER = {  # what a command line has in it -> pairs
    "": ALL,
    "^corruption-report ": {"adv.corruption.repeats": 1, "adv.corruption.severity": 3},
    "^train --recipe ": {"adv.training.clean_epochs": 1, "adv.training.report": ["ifgsm"]},
    "^study cheap_training ": {
        "adv.study.methods": ["plain", "free", "fgsm_rs", "pgd"],
        "adv.study.robust_epochs": 1,
    },
    "^study ensemble ": {
        "adv.study.models": ["shufflenet=shufflenet_v2_x0_5"],
        "adv.study.methods": ["plain", "fgsm_rs"],
        "adv.study.robust_epochs": 1,
    },
    "^card ": {"adv.report.page": False},
    "^study ": {"adv.study.seeds": [1], "adv.study.orders": 1},
    "^reproduce ": {"adv.report.page": False},  # of each attack; a table sets its steps itself
    f"^(attack|attack-gallery|demo) (?!.*({LEARNED}))": {"adv.attack.steps": 1},
    "sysu_mm01": {"train.batch_size": 4, "train.lr": 0.001},  # two identities, random weights
}


def pairs(words):
    """Return the pairs that make a command short, as further words of its command line."""
    line, found = " ".join(words), {}
    for pattern, more in SHORTER.items():
        if re.search(pattern, line):
            found |= more
    return [part for key, value in found.items() for part in (key, str(value))]
