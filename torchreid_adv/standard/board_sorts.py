"""The columns that a leaderboard can be ranked by, as its help text lists them."""

COLUMNS = ("corrupted", "worst kind", "occluded")  # of a card, as tables head them
ROBUST = "robust"  # by attacked queries, then by the attacked gallery
SORTS = (ROBUST, "gallery", "clean", *(name.replace(" ", "-") for name in COLUMNS))
