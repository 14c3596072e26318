"""Adversarial training."""

from __future__ import annotations

from torchreid_adv.config.keys.key import Key, between, gray_levels, one_of

KEYS: tuple[Key, ...] = (
    Key(
        "training.mode",
        "online",
        "adversarial_training: 'online' attacks each batch, 'offline' the training set once, with "
        "adv.training.weights frozen",
        one_of("online", "offline"),
    ),
    Key(
        "training.method",
        "pgd",
        "online: way to train on a batch; torchreid-adv list methods describes each",
        table="methods",
    ),
    Key(
        "training.noise",
        2.0,
        "method 'n_fgsm': range of the starting noise, as a multiple of the bound",
        between(0.001, 100),
        unit="bounds",
    ),
    Key(
        "training.replays",
        4,
        "method 'free': weight updates on each batch; divide train.max_epoch by it",
        between(1, 100),
        unit="updates",
    ),
    Key(
        "training.gradalign",
        0.2,
        "method 'gradalign': weight of the term that aligns gradients",
        between(0, 10_000),
    ),
    Key(
        "training.structure",
        0.0,
        "method 'hm': weight of the term that keeps an attacked anchor nearer to its clean form "
        "than another image of the identity is (ICS, 0.5 in the paper); 0 = none",
        between(0, 10_000),
    ),
    Key(
        "training.clean_epochs",
        0,
        "online: epochs of normal training before, from model.*, on the same images; the network "
        "is kept below data.root, and adv.training.weights names it; 0 = none",
        between(0, 10_000),
        unit="epochs",
    ),
    Key(
        "training.clean_lr",
        None,
        "learning rate of these epochs; None = train.lr",
        between(1e-9, 1000),
        float,
    ),
    Key(
        "training.warmup",
        0,
        "online: epochs over which the bound rises from 0 to adv.training.eps; for networks with "
        "random weights",
        between(0, 10_000),
        unit="epochs",
    ),
    Key(
        "training.ema",
        0.0,
        "decay of a moving average of the weights, which is saved as well, as "
        "model-average/model.pth.tar-EPOCH; 0 = none",
        between(0, 0.99999),
    ),
    Key(
        "training.guard",
        0,
        "online: epochs between two checks for catastrophic overfitting and collapse, on 64 "
        "training images; 0 = no checks",
        between(0, 10_000),
        unit="epochs",
    ),
    Key(
        "training.objective",
        "self",
        "online: what the attack maximizes: 'self' = the distance to the image's clean feature, "
        "'guided' by the batch's other images (GOAT), or the 'classification' loss; 'universal' = "
        "no search, but the noise of adv.training.universal",
        one_of("self", "guided", "classification", "universal"),
    ),
    Key(
        "training.universal",
        "",
        "file of a universal perturbation or of a generator with the bound adv.training.eps; for "
        "objective 'universal', or offline for a learned attack",
        path=True,
    ),
    Key(
        "training.attack",
        "ifgsm",
        "offline: registered attack of the training set",
        table="attacks",
    ),
    Key("training.options", {}, "offline: further keywords of that attack"),
    Key(
        "training.eps",
        5.0,
        "L-infinity bound of the attack in training, gray levels",
        gray_levels,
        unit="levels",
    ),
    Key(
        "training.step_size",
        None,
        "size of one step, gray levels; None = 1 online, the attack's own offline",
        gray_levels,
        float,
        unit="levels",
    ),
    Key(
        "training.steps",
        None,
        "number of steps; None = 7 online, the attack's own offline",
        between(1, 1000),
        int,
        unit="steps",
    ),
    Key(
        "training.start",
        "random",
        "online: start at uniform noise within the bound, or at the clean image; 'carried' = "
        "method 'free' continues from the noise of the batch before, as published",
        one_of("random", "zero", "carried"),
    ),
    Key(
        "training.ratio",
        1.0,
        "share of the batch (online) or of the training set (offline) that is attacked",
        between(0.001, 1),
        unit="share",
    ),
    Key(
        "training.mix",
        "both",
        "online: images in the losses: clean and adversarial ('both'), only 'adversarial' ones, or "
        "only 'clean' ones, with the adversarial images in the consistency loss",
        one_of("both", "adversarial", "clean"),
    ),
    Key(
        "training.consistency",
        0.0,
        "online: weight of the squared distance between the unit features of an image and its "
        "adversarial form (TRADES); 0 = none",
        between(0, 10_000),
    ),
    Key(
        "training.batchnorm",
        "shared",
        "online: BatchNorm statistics of clean and adversarial images together ('shared'), "
        "'separate' (running ones of the clean images), or 'frozen' running ones",
        one_of("shared", "separate", "frozen"),
    ),
    Key(
        "training.precision",
        "fp32",
        "number format of the training pass and of its attack: 'bf16' = autocast, for GPUs; "
        "weights stay in fp32",
        one_of("fp32", "bf16"),
    ),
    Key(
        "training.weights",
        "",
        "checkpoint of the clean network, which is attacked offline and for the report's oblivious "
        "rows",
        path=True,
    ),
    Key(
        "training.init",
        "config",
        "offline: start from the weights of model.* ('config') or of the 'clean' network",
        one_of("config", "clean"),
    ),
    Key(
        "training.folder",
        "",
        "offline: folder of the adversarial training set; '' = adversarial_train below "
        "data.save_dir",
        path=True,
    ),
    Key(
        "training.evaluate",
        True,
        "evaluations also attack adv.attack.side with adv.attack.*, at the network's input size",
    ),
    Key(
        "training.report",
        [],
        "attacks in the table on the trained checkpoint, made at the end; [] = no table",
        table="attacks",
    ),
)
