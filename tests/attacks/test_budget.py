"""A budget is checked in one place, and each attack takes the fields that it names."""

import dataclasses
import functools
import inspect
import re

import pytest

import torchreid_adv as adv
from torchreid_adv.attacks import Budget, MetricDistance, attack
from torchreid_adv.attacks.fgsm import iteration_rule, sign_attack
from torchreid_adv.core.facts import facts_of
from torchreid_adv.distances import build_distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import ATTACKS

EPS = 8 / 255
UNIT = build_distance("euclidean", normalize=True)
SPENT = ("step_size", "steps", "momentum")
LEARNED = ("mis_ranking", "universal")  # need a file
COMPUTED = [name for name in ATTACKS if name not in LEARNED]


@pytest.fixture
def mine():
    """A name for an attack of a test, free again after it."""
    yield "mine"
    ATTACKS.remove("mine")


def spent(name):
    return [field for field in SPENT if field in ATTACKS.options(name)]


@pytest.mark.parametrize("value", [8, -0.1, 1.001, True, "0.1", float("nan")])
@pytest.mark.parametrize("field", ["eps", "step_size"])
def test_a_length_is_in_pixel_units(field, value):
    with pytest.raises(ConfigError, match=rf"^{field} is in \[0, 1\] pixel units, got"):
        Budget(**{"eps": EPS, field: value})


def test_gray_levels_are_told_from_pixel_units():
    with pytest.raises(ConfigError, match="for 8 gray levels pass 8 / 255"):
        Budget(eps=8)


def test_a_budget_needs_a_bound_and_a_known_precision():
    with pytest.raises(ConfigError, match=r"eps is in .* got None"):
        Budget(eps=None)
    with pytest.raises(ConfigError, match="precision is one of fp32, bf16, got 'fp16'"):
        Budget(eps=EPS, precision="fp16")


def test_lengths_of_a_config_are_gray_levels():
    budget = Budget.of_levels(eps=8, step_size=2, steps=3, momentum=0.5, seed=4)
    assert budget == Budget(eps=8 / 255, step_size=2 / 255, steps=3, momentum=0.5, seed=4)
    assert Budget.of_levels(eps=8).given() == {"eps": 8 / 255, "seed": 0, "precision": "fp32"}


def test_what_an_attack_cannot_do_without_is_asked_for():
    with pytest.raises(ConfigError, match=r"with steps; pass Budget\(steps=...\)"):
        sign_attack(MetricDistance(UNIT), Budget(eps=EPS, step_size=1 / 255))


@pytest.mark.parametrize("name", list(ATTACKS))
def test_no_attack_takes_gray_levels_or_an_unknown_precision(name):
    for wrong in ({"eps": 8}, {"step_size": 2}, {"precision": "half"}):
        if not wrong.keys() <= ATTACKS.options(name).keys():
            continue
        with pytest.raises(ConfigError, match=r"pixel units, got \d; for|precision is one of"):
            ATTACKS.build(name, **{"eps": EPS, "distance": UNIT, **wrong})


@pytest.mark.parametrize("name", COMPUTED)
def test_none_is_the_attack_s_own_default(name):
    plain = facts_of(adv.build_attack(name, eps=EPS))
    for field in spent(name):
        assert facts_of(adv.build_attack(name, eps=EPS, **{field: None})) == plain


@pytest.mark.parametrize("name", COMPUTED)
def test_each_field_of_a_budget_decides(name):
    plain = facts_of(adv.build_attack(name, eps=EPS))
    values = {"eps": 7 / 255, "step_size": 1.5 / 255, "steps": 13, "momentum": 0.3, "seed": 5}
    for field in ("eps", "seed", "precision", *spent(name)):
        changed = {"eps": EPS, field: values.get(field, "bf16")}
        assert facts_of(adv.build_attack(name, **changed)) != plain, field


@pytest.mark.parametrize("name", list(ATTACKS))
def test_the_docstring_says_what_each_keyword_is_once(name):
    text = inspect.getdoc(ATTACKS.get(name)).partition("Args:\n")[2].partition("\n\n")[0]
    said = re.findall(r"^    (\w+): ", text, flags=re.MULTILINE)
    assert sorted(said) == sorted(ATTACKS.options(name))


def test_an_attack_takes_the_fields_that_it_names(mine):
    @attack(mine, title="two steps", step_size=2 / 255, steps=2)
    def build(budget, distance, early=1, *, late="b"):
        """Build it.

        Options:
            early: first.
            late: last.

        Raises:
            ConfigError: never.
        """
        seen.append((budget, distance, early, late))
        return sign_attack(MetricDistance(distance), budget)

    seen = []
    names = ["eps", "distance", "early", "step_size", "steps", "late", "seed", "precision"]
    assert [*inspect.signature(build).parameters] == names == [*ATTACKS.options(mine)]
    assert ATTACKS.facts(mine) == {"title": "two steps"}
    assert "    late: last.\n\nRaises:\n    ConfigError: never." in inspect.getdoc(build)
    made = adv.build_attack("MINE", eps=EPS, distance=UNIT, steps=3, late="c", seed=7)
    assert seen == [(Budget(eps=EPS, step_size=2 / 255, steps=3, seed=7), UNIT, 1, "c")]
    assert (made.name, made.steps, made.seed) == (mine, 3, 7)
    with pytest.raises(ConfigError, match="takes no option 'momentum'"):
        adv.build_attack(mine, eps=EPS, momentum=1.0)
    with pytest.raises(TypeError, match=r"mine\(\) is called wrongly: missing .*'distance'"):
        build(eps=EPS)


def test_a_rule_is_called_with_what_it_names_when_it_is_known(mine):
    rule = functools.partial(iteration_rule, rounding="ceil")

    @attack(mine, step_size=lambda eps, steps, share: share * eps / steps, steps=rule)
    def build(budget, distance, *, share=0.5):
        return sign_attack(MetricDistance(distance), dataclasses.replace(budget, seed=budget.steps))

    assert ATTACKS.options(mine)["step_size"].default is None
    for options, step_size, steps in (({}, 0.375, 4), ({"steps": 2, "share": 1.0}, 1.5, 2)):
        described = adv.build_attack(mine, eps=3 / 255, **options).describe()
        assert (described["step_size"], described["steps"], described["seed"]) == (
            step_size,
            steps,
            steps,
        )
    assert adv.build_attack(mine, eps=3 / 255, step_size=1 / 255).describe()["steps"] == 4


def whole(eps, distance, steps=1):
    """Take the flat keywords themselves."""


def starred(budget, distance, **options):
    """Take whatever comes."""


def field(budget, distance, *, seed=0):
    """Take a field again."""


@pytest.mark.parametrize(
    ("builder", "sentence"),
    [
        (whole, "'mine' takes budget and distance first"),
        (starred, "every option by name"),
        (field, "'seed' of the attack 'mine' is a field of its budget"),
    ],
)
def test_a_function_of_another_form_is_refused(builder, sentence):
    with pytest.raises(ConfigError, match=sentence):
        attack("mine")(builder)
    assert "mine" not in ATTACKS


def test_a_taken_name_is_refused():
    with pytest.raises(ConfigError, match=r"'sma' is registered already by torchreid_adv\.attacks"):
        attack("sma")(lambda budget, distance: None)
