"""Which config keys the work of a command reads, put together from what several of them do.

A help text lists these keys. They are patterns, see ``help_text.keys_of``; a test runs commands and
compares what they read.
"""

from __future__ import annotations

# images and their data sets
DATA = (
    *("data.type", "data.root", "data.targets", "data.workers", "data.split_id"),
    *("data.save_dir", "use_gpu", "cuhk03.labeled_images", "cuhk03.classic_split"),
    *("market1501.use_500k_distractors", "video.*", "adv.plugins", "adv.data.*", "adv.mot.*"),
)
# a network that is loaded, and the size and normalization where its entry and its file say none
NETWORK = ("data.height", "data.width", "data.norm_mean", "data.norm_std")
ONE_NETWORK = ("model.name", "model.load_weights", *NETWORK)
SCORES = (
    *("test.dist_metric", "test.normalize_feature", "test.rerank", "test.ranks"),
    *("test.batch_size", "cuhk03.use_metric_cuhk03", "adv.evaluation.*", "adv.distances"),
)
ATTACK = ("adv.attack.*",)
DEFENSE = ("adv.defense.*",)
JOB = ("adv.job.*",)
PAGE = ("adv.report.page", "adv.report.loggers")
RUN = (*DATA, *NETWORK, *SCORES, *ATTACK, *JOB, *PAGE)  # an attack, stored and scored

# a default of commands that take models: features of unit length are attacked and ranked, as in the
# papers, the example configs and the Python interface
UNIT_FEATURES = ("test.normalize_feature", "True")

# a training: data, batches, network, loss, optimizer, evaluation
TRAINING = (
    *("data.*", "sampler.*", "train.*", "sgd.*", "rmsprop.*", "adam.*", "loss.*", "test.*"),
    *("video.*", "cuhk03.*", "market1501.*", "model.*", "use_gpu", "adv.plugins", "adv.engine"),
    *("adv.data.*", "adv.mot.*", "adv.evaluation.*", "adv.distances", "adv.transforms"),
    *("adv.loss.*", "adv.schedule.*", "adv.selection.*", "adv.job.threads"),
    *("adv.job.quarantine", "adv.defense.*", "adv.start.sources", "adv.report.loggers"),
)
# sections that count where a data set, an engine or a training is named that reads them
VIRTUAL = ("virtual",)
ENGINES = ("attack", "training", "meta", "mis_ranking", "video", "virtual")
