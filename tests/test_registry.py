import subprocess
import sys

import pytest

from torchreid_adv import cli, config
from torchreid_adv.attacks import build_attack
from torchreid_adv.cli import index
from torchreid_adv.cli.listing import describe
from torchreid_adv.config.torchreid_keys import default_config
from torchreid_adv.data.datasets import load_dataset
from torchreid_adv.errors import ConfigError, suggest
from torchreid_adv.foreign_names import ELSEWHERE
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models.loading import build_network
from torchreid_adv.registry import ENGINES, TABLES, TRANSFORMS, Registry
from torchreid_adv.runs.torchreid_checks import check, check_names


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


@pytest.fixture
def cfg():
    tree = default_config()
    yield tree
    config.forget()


def test_names_are_known_in_any_case():
    for registry in TABLES.values():
        for name in registry:
            for written in (name.upper(), name.title(), name):
                assert written in registry
                assert registry.get(written) is registry.get(name)
                assert registry.name_of(written) == name
                assert registry.facts(written) == registry.facts(name)


def test_names_that_differ_by_case_alone_are_refused(shapes):
    with pytest.raises(ConfigError, match="differ by case alone"):
        shapes.register("Circle")(dict)


NAMED = {
    "adv.attack.name": "IFGSM",
    "adv.training.attack": "MIFGSM",
    "adv.training.method": "FGSM_RS",
    "adv.training.report": ["Fgsm", "SMA"],
    "adv.transfer.attacks": ["FGSM"],
    "adv.engine": "Adversarial_Training",
    "adv.defense.name": "JPEG",
    "adv.attack.metric": "Cosine",
    "adv.transfer.metrics": ["EUCLIDEAN"],
    "test.dist_metric": "Cosine",
    "adv.meta.virtual": "Virtual_A",
    "adv.selection.data": "DukeMTMCreID",
    "adv.study.stills": "Virtual_C",
    "adv.corruption.kinds": ["Fog"],
    "model.name": "OSNet_x1_0",
    "data.sources": ["Market1501", "VIRTUAL_A"],
    "data.targets": ["MSMT17"],
    "data.transforms": ["Random_Flip", "LGT"],
    "sampler.train_sampler": "randomidentitysampler",
    "sampler.train_sampler_t": "RANDOMSAMPLER",
}


def test_a_config_may_write_names_in_any_case(cfg):
    cfg.merge_from_list([word for pair in NAMED.items() for word in pair])
    cfg.merge_from_list(["adv.transforms.LGT.p", "0.25"])
    check(cfg)
    config.setup(cfg)
    check_names(cfg)
    for key, value in NAMED.items():
        if key == "sampler.train_sampler":
            expected = "RandomIdentitySampler"
        elif key == "sampler.train_sampler_t":
            expected = "RandomSampler"
        else:
            expected = [v.lower() for v in value] if isinstance(value, list) else value.lower()
        assert config.lookup(cfg, key) == expected
    assert cfg.adv.transforms == {"lgt": {"p": 0.25}}


def test_every_key_that_names_entries_says_of_which_table():
    declared = {f"adv.{key.name}": key.table for key in config.tree.KEYS if key.table}
    assert set(declared) == {key for key in NAMED if key.startswith("adv.")}
    assert set(declared.values()) <= set(TABLES)


def test_python_takes_names_in_any_case(market):
    assert build_attack("IFGSM", eps=8 / 255).name == "ifgsm"
    assert load_dataset("Market1501", root=market).name == "market1501"
    assert type(build_network("OSNet_x0_25")).__name__ == "OSNet"
    build = torchreid_module("models").build_model
    from torchreid_adv.integration.hooks import installed

    with installed():
        build = torchreid_module("models").build_model
        assert type(build("OSNet_X0_25", 2, pretrained=False)).__name__ == "OSNet"


def test_a_config_cannot_name_what_is_internal(cfg, capsys):
    internal = [name for name in ENGINES if name not in ENGINES.public]
    assert {"evaluation", "progress"} <= set(internal)
    for name in internal:
        cfg.adv.engine = name
        with pytest.raises(ConfigError, match=f"unknown engine '{name}'") as caught:
            config.setup(cfg)
        said = str(caught.value).partition(";")[2]
        assert not any(f"{other}'" in said or f"{other}," in said for other in internal)
        assert not any(line.strip().startswith(f"{name} ") for line in describe(ENGINES))
        config.set_engine(cfg, name)
        config.setup(cfg.clone())  # a command may
    assert cli.main(["attack-gallery", "--dry-run", "adv.engine", "evaluation"]) == 2
    assert "metric_attack" in capsys.readouterr().err


FOREIGN = {
    "attack": {
        "bim": "'ifgsm'", "I-FGSM": "'ifgsm'", "iterative_fgsm": "'ifgsm'", "MIM": "'mifgsm'",
        "mi-fgsm": "'mifgsm'", "pgd-20": "'pgd'", "pgd_linf": "'pgd'", "apgd-ce": "'apgd'",
        "AutoPGD": "'apgd'", "AutoAttack": "torchreid-adv standard", "DI2-FGSM": "'difgsm'",
        "cw": "torchattacks", "DeepFool": "torchattacks", "uap": "meta_attack",
        "mis-ranking": "'mis_ranking'", "fgm": "'fgsm'",
    },
    "model": {
        "vit_base_patch16_224": "list formats", "swin_tiny": "list formats",
        "clip": "list formats", "strong_baseline": "'sb_resnet50'",
        "model.pth.tar-60": "model.load_weights",
    },
    "data set": {
        "market": "'market1501'", "Market-1501": "'market1501'", "duke": "'dukemtmcreid'",
        "DukeMTMC-reID": "'dukemtmcreid'", "msmt17_v2": "'msmt17'", "sysu": "'sysu_mm01'",
        "regdb": "'regdb_v2i'",
    },
    "defense": {"jpeg_compression": "'jpeg'", "tvm": "'total_variation'", "RP": "'rrp_xie'"},
    "distance": {"l2": "'euclidean'", "cos": "'cosine'"},
}  # fmt: skip
KEY_OF = {
    "attack": "adv.attack.name", "model": "model.name", "data set": "data.targets",
    "defense": "adv.defense.name", "distance": "test.dist_metric",
}  # fmt: skip


@pytest.mark.parametrize("kind", FOREIGN)
def test_names_of_other_projects_point_to_ours(cfg, kind):
    assert set(FOREIGN) == set(ELSEWHERE)
    for name, pointer in FOREIGN[kind].items():
        cfg.merge_from_list([KEY_OF[kind], name])
        with pytest.raises(ConfigError, match=pointer.replace("'", ".")):
            named(cfg)


@pytest.mark.parametrize(
    ("key", "name", "wrong"),
    [
        ("data.targets", "vric", "viper"),
        ("data.targets", "aicity", "did you mean"),
        ("data.targets", "grids", "prid"),
        ("data.targets", "pride", "grid"),
        ("data.targets", "imagenet", "did you mean"),
        ("data.targets", "coco", "did you mean"),
        ("model.name", "mlp", "did you mean"),
        ("model.name", "vgg16", "did you mean"),
        ("adv.attack.name", "fuzz", "did you mean"),
        ("adv.attack.name", "nets", "did you mean 'fna'"),
        ("adv.defense.name", "dropout", "did you mean"),
        ("test.dist_metric", "manhattan", "did you mean"),
        ("adv.engine", "trainer", "did you mean"),
    ],
)
def test_a_suggestion_is_never_of_another_kind(cfg, key, name, wrong):
    cfg.merge_from_list([key, name])
    with pytest.raises(ConfigError, match=f"'{name}'") as caught:
        named(cfg)
    said = str(caught.value)
    assert f"did you mean '{wrong}'" not in said
    assert wrong not in said.partition("known:")[0]


def named(cfg):
    config.setup(cfg)
    check_names(cfg)


@pytest.mark.parametrize(
    ("name", "known", "near"),
    [
        ("circel", ["circle", "circus"], "circle"),
        ("osnetx10", ["osnet_x1_0", "osnet_x0_25"], "osnet_x1_0"),
        ("resnet", ["resnet18", "mobilenet"], "resnet18"),
        ("jat", ["jad", "jad2"], "jad"),
        ("euclid", ["euclidean", "cosine"], "euclidean"),
        ("metric_atack", ["metric_attack", "meta_attack"], "metric_attack"),
        ("grid", ["prid", "viper"], None),
        ("veri776", ["viper", "vcm_i2v"], None),
        ("xyz", [], None),
        ("a" * 10_000, ["b"], None),
    ],
)
def test_what_is_near(name, known, near):
    said = suggest(name, known)
    assert said.startswith("; known: ") if near is None else said == f"; did you mean '{near}'?"
    assert len(said) < 200


def test_the_index_says_what_the_registries_hold():
    script = "from torchreid_adv.cli import index; print(index.written(), end='')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert index.INDEX.read_text() == done.stdout, (
        f"the registries changed; run python -m torchreid_adv.cli.index {done.stderr}"
    )
