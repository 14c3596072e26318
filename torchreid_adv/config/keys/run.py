"""Images and stored variants, how a ranking is scored, the run itself."""

from __future__ import annotations

from torchreid_adv.config.keys.key import Key, between, one_of

KEYS: tuple[Key, ...] = (
    Key(
        "data.adversarial_dir",
        "",
        "folder holding a manifest.jsonl, for the set 'adversarial'",
        path=True,
    ),
    Key(
        "data.lists",
        [],
        "data sets of your own and their names, NAME=FILE.csv, NAME=folder:DIR or NAME=mot:DIR; "
        "those that data.sources and data.targets name by file are added",
        path=True,
    ),
    Key(
        "data.copies",
        "refuse",
        "your own images with equal bytes under two identities, in two splits, or as query and "
        "gallery image of two cameras: 'refuse' the data set, or 'warn', and record it with the "
        "results; public data sets are warned of",
        one_of("refuse", "warn"),
    ),
    Key(
        "data.camera",
        "",
        "pattern of the camera in the image names of folder:DIR, a regular expression with one "
        "group; '' = a number behind c, cam or camera",
    ),
    Key(
        "mot.gap",
        25,
        "mot:DIR: frames between a query and the first of its matches",
        between(0, 10**6),
        unit="frames",
    ),
    Key(
        "mot.step",
        5,
        "mot:DIR: distance between the gallery frames of an identity that are used",
        between(1, 10**6),
        unit="frames",
    ),
    Key(
        "mot.visibility",
        0.25,
        "mot:DIR: visible share of the box below which a person is left out",
        between(0, 1),
    ),
    Key(
        "data.max_pixels",
        25_000_000,
        "largest image that is decoded, pixels",
        between(1, 10**8),
        unit="pixels",
    ),
    Key(
        "evaluation.ap_rule",
        "standard",
        "average precision: 'standard' as torchreid, 'trapezoid' as the metric attack paper",
        one_of("standard", "trapezoid"),
    ),
    Key(
        "data.interpolation",
        "bilinear",
        "resizing to a loaded model's input, unless its entry (@resize=) or its format sets it: "
        "'bilinear' as torchreid, 'bicubic' as the joint defense's code; also used for images that "
        "are attacked in space 'network'",
        one_of("bilinear", "bicubic"),
    ),
    Key(
        "evaluation.rerank",
        False,
        "also score after k-reciprocal re-ranking, that of torchreid's test.rerank",
    ),
    Key(
        "evaluation.neighbors",
        "torch",
        "neighbor search of re-ranking: 'torch', or 'faiss' (on GPUs if FAISS supports them); the "
        "result is the same",
        one_of("torch", "faiss"),
    ),
    Key(
        "evaluation.block",
        32768,
        "gallery images whose distances are computed at a time; connected processes share the "
        "blocks",
        between(1, 10**9),
        unit="images",
    ),
    Key(
        "job.chunk",
        16,
        "images attacked together; part of a run's identity",
        between(1, 100_000),
        unit="images",
    ),
    Key(
        "job.threads",
        0,
        "CPU threads of the network; part of a run's identity, because sums are rounded in their "
        "order; 0 = torch's default (OMP_NUM_THREADS)",
        between(0, 4096),
        unit="threads",
    ),
    Key(
        "job.copies",
        True,
        "also store the images that are not attacked, so that the variant is a whole data set",
    ),
    Key(
        "job.shard",
        "",
        "i/n: this process does share i (from 0) of n; '' = everything, or torchrun's share",
    ),
    Key(
        "job.quarantine",
        False,
        "leave bad images out: they are listed, every number is marked partial, exit code 4",
    ),
)
