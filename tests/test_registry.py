import pytest

from torchreid_adv.errors import ConfigError, suggest
from torchreid_adv.registry import TABLES, TRANSFORMS, Registry


@pytest.fixture
def shapes():
    registry = Registry("shape", "distances")  # any package: its modules register elsewhere

    @registry.register("circle", paper="Euclid")
    class Circle:
        def __init__(self, *, radius: float = 1.0) -> None:
            self.radius = radius

    return registry


def test_build_passes_options(shapes):
    assert shapes.build("circle", radius=2.0).radius == 2.0
    assert shapes.facts("circle") == {"paper": "Euclid"}


def test_unknown_names_are_errors_with_the_nearest_one(shapes):
    with pytest.raises(ConfigError, match="unknown shape 'circel'; did you mean 'circle'"):
        shapes.get("circel")


def test_unknown_options_are_errors_with_the_nearest_one(shapes):
    with pytest.raises(ConfigError, match="takes no option 'radios'; did you mean 'radius'"):
        shapes.build("circle", radios=1)


def test_a_taken_name_is_refused_unless_forced(shapes):
    with pytest.raises(ConfigError, match="registered already"):
        shapes.register("circle")(dict)
    shapes.register("circle", force=True)(dict)
    assert shapes.get("circle") is dict


def test_registering_the_same_entry_again_is_nothing(shapes):
    shapes.register("circle")(shapes.get("circle"))


def test_remove(shapes):
    shapes.remove("circle")
    assert "circle" not in shapes
    assert len(shapes) == 0


def test_suggest_lists_the_known_when_nothing_is_near():
    assert suggest("zzz", ["b", "a"]) == "; known: a, b"
    assert suggest("zzz", []) == "; known: none"


def test_every_table_loads_and_every_entry_is_callable():
    for registry in TABLES.values():
        for name in registry:
            assert callable(registry.get(name))


def test_the_first_transforms_are_there():
    assert {"grayscale", "lgt"} <= set(TRANSFORMS)
