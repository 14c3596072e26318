"""MetaAttack, MetaDefense and the generator of Mis-Ranking."""

from __future__ import annotations

from torchreid_adv.config.keys.key import Key, between, gray_levels, one_of

KEYS: tuple[Key, ...] = (
    Key(
        "meta.perturbation",
        "both",
        "what meta_attack learns: 'color' table, additive 'delta', 'both', or 'shift' = one color "
        "added to every pixel, a control; also the part of adv.attack.weights that meta_defense "
        "uses ('both' = every part)",
        one_of("both", "color", "delta", "shift"),
    ),
    Key(
        "meta.cells",
        25,
        "corners of the color table along each of red, green and blue; 25 in the paper",
        between(2, 64),
        unit="corners",
    ),
    Key(
        "meta.budget",
        "joint",
        "bound of color and delta together: 'joint' = their sum is projected to adv.attack.eps, "
        "'split' = each within half of it, 'sum' = each within the whole bound, as in the released "
        "code, so that the sum reaches twice the bound",
        one_of("joint", "split", "sum"),
    ),
    Key(
        "meta.learning",
        "meta",
        "'meta' = Algorithms 1 and 2: each step is learned on the sources and tested on "
        "adv.meta.virtual; 'source' = only the sources, 'joined' = both as one set, 'virtual' = "
        "only the virtual set; for meta_attack also 'two_step' = as 'meta', but the temporary step "
        "is kept, as in the released code, and 'twice' = 'source' with as many steps, two per "
        "batch of the log",
        one_of("meta", "source", "joined", "virtual", "two_step", "twice"),
    ),
    Key(
        "meta.virtual",
        "virtual_b",
        "the data set of the meta-test, usually a virtual one",
        table="datasets",
    ),
    Key(
        "meta.loss",
        "triplet",
        "the learned loss: reversed 'triplet' within a batch, 'self' = away from an image's clean "
        "feature (SMA); the losses of UAP-Retrieval use cluster centers: pair-wise 'centroids' = "
        "the same triplet, label-wise 'labels' = out of the image's cluster, list-wise 'list' = "
        "the ranking of the centers reversed, 'retrieval' = the sum of the three",
        one_of("triplet", "self", "centroids", "labels", "list", "retrieval"),
    ),
    Key(
        "meta.margin",
        0.5,
        "margin of the triplets, in the attacked distance's unit",
        between(0, 1000),
    ),
    Key(
        "meta.centroids",
        512,
        "cluster centers of adv.meta.loss centroids, labels, list and retrieval",
        between(2, 10**6),
        unit="clusters",
    ),
    Key(
        "meta.inner",
        "sign",
        "step before the meta-test: 'sign' as in the paper, or 'sgd' = along the gradient itself",
        one_of("sign", "sgd"),
    ),
    Key(
        "meta.order",
        1,
        "2 = also differentiate through an 'sgd' inner step; with signs, 1 and 2 are the same",
        between(1, 2),
    ),
    Key(
        "meta.inner_step_size",
        None,
        "size of the inner step, gray levels ('sgd': mean over the entries); None = the step size",
        gray_levels,
        float,
        unit="levels",
    ),
    Key("meta.decay", 0.01, "an epoch multiplies the step size by exp(-decay)", between(0, 100)),
    Key(
        "meta.iterations",
        0,
        "batches per epoch of meta_attack, meta_defense and mis_ranking; 0 = all",
        between(0, 10**9),
        unit="batches",
    ),
    Key(
        "meta.ratio",
        0.5,
        "meta_defense: random share of a batch that also comes in its adversarial form",
        between(0, 1),
        unit="share",
    ),
    Key(
        "meta.defense_order",
        "1",
        "meta_defense: '2' = differentiate through the step before the meta-test, as in the paper; "
        "'fd' = the same by finite differences; '1' = take that step as given",
        one_of("1", "2", "fd"),
    ),
    Key(
        "meta.inner_lr",
        None,
        "meta_defense: learning rate of the step before the meta-test; None = the training's",
        between(0, 1000),
        float,
    ),
    Key(
        "meta.clip",
        0.0,
        "meta_defense: longest gradient of a step; 0 = any length",
        between(0, 10**9),
    ),
    Key(
        "mis_ranking.weight",
        10.0,
        "weight of the misranking loss; that of the loss of looking real is 1; the released code "
        "uses 2 against PCB",
        between(0, 10**6),
    ),
    Key(
        "mis_ranking.margin",
        0.3,
        "margin of the triplet, in the attacked distance's unit",
        between(0, 1000),
    ),
    Key(
        "mis_ranking.identity",
        True,
        "also move toward the identity that the network's own classifier finds least likely",
    ),
    Key("mis_ranking.lr", 0.0002, "learning rate of generator and discriminator", between(0, 1)),
    Key(
        "mis_ranking.filters",
        32,
        "channels of the generator's first convolution",
        between(1, 512),
        unit="channels",
    ),
    Key("mis_ranking.blocks", 6, "residual blocks of the generator", between(0, 64), unit="blocks"),
    Key(
        "mis_ranking.pixels",
        1.0,
        "share of an image's pixels that may change, chosen by the generator; 1 = all",
        between(0.0001, 1),
        unit="share",
    ),
)
