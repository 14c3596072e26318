import contextlib

import pytest

from torchreid_adv import cli
from torchreid_adv.errors import ConfigError
from torchreid_adv.report.matrix import Cell, markdown
from torchreid_adv.report.paper_table import names, paper_table

ATTACKED = ("B1", "B2", "B3", "B4")


def cell(**changes):
    facts = {"target": "market1501", "attacked": "B1", "attack": "ifgsm", "eps": 5.0}
    facts |= {"metric": "", "tested": "B4", "kind": "black"}
    clean, after = {"mAP": 0.5, "cmc": {"1": 0.8}}, {"mAP": 0.25, "cmc": {"1": 0.4}}
    return Cell(**{**facts, **changes}, clean=clean, adversarial=after)


SIZES = {
    "bai2019.fig5": 10,
    "bai2019.text": 4,
    "bai2019.cross_modality": 6,
    "vi_video.table1": 16,
    "vi_video.table2": 16,
    "joint_defense.fig5": 0,  # plots without numbers
    "joint_defense.fig9": 0,
    **{f"bai2019.table{n}": size for n, size in enumerate((12, 72, 72, 96, 20), 1)},
    **{f"joint_defense.table{n}": s for n, s in enumerate((4, 12, 8, 24, 16, 10, 28, 16, 4), 1)},
    **{f"meta.table{n}": s for n, s in enumerate((28, 28, 56, 32, 76, 54, 6, 12, 8, 8), 1)},
    **{f"meta.table{n}": s for n, s in enumerate((6, 4, 56, 12, 88, 24, 8, 6, 4), 11)},
}


TEXT = {"bai2019.text": {"rank1", "positive_distance"}}  # which a text prints of some cells alone


def test_all_tables_are_there():
    assert names() == sorted(SIZES)


@pytest.mark.parametrize("name", sorted(SIZES))
def test_a_table_is_whole(name):
    """Every row has every column, every cell its measures, and no place is taken twice."""
    table = paper_table(name)
    assert len(table.cells) == SIZES[name]
    places = [(cell["target"], *table.place(cell)) for cell in table.cells]
    assert len(set(places)) == len(places)
    for cell in table.cells:
        assert set(table.measures) <= {*cell, *TEXT.get(name, ())}
        lowest = 0 if name.startswith("meta") else 1e-9  # universal attacks leave 0.0 Rank-1
        highest = 100 if table.unit != "number" else 1000
        rates = {k: v for k, v in table.printed(cell).items() if k != "improvement"}
        assert all(lowest <= value < highest for value in rates.values())
        ranks = [cell[rank] for rank in ("rank1", "rank5", "rank10") if rank in cell]
        assert ranks == sorted(ranks)
        for label in (cell.get("tested"), *str(cell.get("attacked") or "").split("+")):
            assert not label or label.lstrip("-") in {*table.models, "ensemble"}, label
    for target in table.targets:
        own = [cell for cell in table.cells if cell["target"] == target]
        rows = {tuple(cell.get(f) for f in table.rows) for cell in own}
        if name.startswith("joint") or name in ("bai2019.table2", "bai2019.table3"):
            assert len(own) == len(rows) * len(
                {tuple(c.get(f) for f in table.columns) for c in own}
            )
    assert set(table.networks) <= set(table.models)


def joint(number, target, **where):
    (cell,) = [
        cell
        for cell in paper_table(f"joint_defense.table{number}").cells
        if cell["target"] == target and all(cell.get(k) == v for k, v in where.items())
    ]
    return tuple(cell[k] for k in ("rank1", "rank5", "rank10", "mAP") if k in cell)


def test_numbers_of_the_joint_defense_are_where_the_paper_has_them():
    market, duke = "market1501", "dukemtmcreid"
    assert joint(1, market, attack="lta_minus") == (15.7, 26.2, 32.1, 11.0)
    assert joint(2, duke, source=market, tested="DL*+LHT", rerank=True) == (49.3, 36.6)
    assert joint(2, market, source=duke, tested="DL*", rerank=False) == (47.4, 19.5)
    assert joint(3, duke, tested="JAD", rerank=False) == (77.2, 57.8)
    assert joint(4, duke, tested="JAD", rerank=True, attack="sma") == (69.3, 64.5)
    assert joint(4, market, tested="N", rerank=False, attack="ifgsm") == (8.1, 4.3)
    assert joint(5, market, tested="CF", attack="lta") == (17.1, 18.5)
    assert joint(6, market, tested="N+ABA", attack="lta") == (31.4, 33.1)
    assert joint(7, market, tested="AT_CS", attack="ifgsm") == (60.6, 53.8)
    assert joint(8, market, tested="FR", attack="dmr") == (24.8, 25.9)
    for reranked in (False, True):  # which of the two is not said, so beside both
        assert joint(9, market, attacked="DL", rerank=reranked) == (84.3, 93.2, 66.6)


def test_relative_improvements_are_those_of_the_means_beside_them():
    """As printed: the paper truncates or rounds, by up to a unit of its last digit."""
    for cell in paper_table("bai2019.table5").cells:
        computed = 100 * (cell["metric_preserving_mAP"] / cell["mAP"] - 1)
        assert cell["improvement"] == pytest.approx(computed, rel=0.05)


def test_what_two_tables_print_of_the_same_thing_agrees():
    for attack in ("ifgsm", "sma", "lta"):
        for tested in ("N", "JAD"):
            once = joint(4, "market1501", tested=tested, rerank=True, attack=attack)
            assert once == joint(5, "market1501", tested=tested, attack=attack)
            assert once == joint(7, "market1501", tested=tested, attack=attack)
    normal = joint(3, "market1501", tested="N", rerank=True)
    assert normal == joint(6, "market1501", tested="N", attack="") == (90.2, 84.7)
    one = {(c["target"], c["tested"]): c["mAP"] for c in paper_table("bai2019.table1").cells}
    single = {
        (c["attacked"], c["tested"]): c["mAP"]
        for c in paper_table("bai2019.table2").cells
        if c["attack"] == "ifgsm"
    }
    for cell in paper_table("bai2019.table5").cells:
        same = single.get((cell["attacked"], cell["tested"]), one["market1501", cell["tested"]])
        assert cell["mAP"] == same


def meta(number, target, **where):
    """Return the one printed cell of a place: mAP and Rank-1."""
    (cell,) = [
        cell
        for cell in paper_table(f"meta.table{number}").cells
        if cell["target"] == target and all(cell.get(k) == v for k, v in where.items())
    ]
    return tuple(cell[k] for k in ("mAP", "rank1", "ssim", "seconds") if k in cell)


def test_numbers_of_the_universal_attackers_are_where_the_paper_has_them():
    market, duke, msmt = "market1501", "dukemtmcreid", "msmt17"
    assert meta(1, duke, tested="PCB", attack="meta color") == (13.5, 20.7)
    assert meta(2, market, learned="PCB", tested="IDE", attack="meta both") == (4.4, 4.6)
    assert meta(3, msmt, tested="PCB", source=market, attack="delta") == (5.3, 11.8)
    assert meta(4, market, learned="IDE", source=duke, attack="MisRank") == (39.7, 53.4)
    assert meta(5, msmt, tested="AGW", source=duke, attack="MisRank, eps 16") == (9.8, 18.4)
    assert meta(5, market, tested="PCB", attack="UAP w/ SMA") == (8.3, 12.2)
    where = {"extra": "unrealperson", "learning": "meta", "perturbation": "color"}
    assert meta(6, duke, **where) == (13.6, 18.4)
    assert meta(7, duke, learning="virtual") == (11.1, 14.8)
    assert meta(8, duke, eps=4.0) == (13.8, 19.0)
    assert meta(9, market, attack="MisRank") == (0.1889,)
    assert meta(10, market, source="unrealperson") == (59.6, 62.5)
    assert meta(11, "deepchange", source=duke, attack="UAP") == (1.0, 2.4)
    assert meta(12, market, extra="deepchange") == (14.7, 19.2)
    assert meta(13, duke, tested="M_D", attack="SMA") == (30.2, 44.6)
    assert meta(14, market, tested="M_SMA", attack="UAP-Retrieval") == (42.6, 62.3)
    assert meta(15, duke, learned="AGW", attack="meta delta", tested="M_CD") == (37.7, 53.3)
    assert meta(15, market, learned="PCB", attack="both", tested="IDE") == (15.9, 20.0)
    assert meta(16, duke, tested="M_CD", attack="meta both", eps=12.0) == (9.2, 13.4)
    assert meta(17, market, tested="M_joint") == (21.3, 30.3)
    assert meta(18, duke, tested="M_ce") == (3.1, 5.3)
    assert meta(19, "an epoch", method="defense", learning="meta") == (271.0,)


def test_what_the_universal_attackers_print_twice_agrees_but_for_the_cells_that_notes_name():
    market, duke = "market1501", "dukemtmcreid"
    kinds = [f"{how}{kind}" for how in ("", "meta ") for kind in ("color", "delta", "both")]
    for target in (market, duke):
        own = {way: meta(1, target, tested="IDE", attack=way) for way in ("", *kinds)}
        assert own["meta both"] == meta(5, target, tested="IDE", attack="meta both")
        assert own["meta both"] == meta(7, target, learning="meta") == meta(8, target, eps=8.0)
        assert own["both"] == meta(7, target, learning="source")
        for way in kinds:
            assert own[way] == meta(15, target, learned="IDE", attack=way, tested="IDE")
        for way in ("", *kinds[3:]):
            assert own[way] == meta(13, target, tested="IDE", attack=way)
        assert meta(13, target, tested="M_CD", attack="meta both") == meta(
            17, target, tested="M_CD"
        )
    crossed = {"learned": "PCB", "tested": "IDE"}
    differing = {
        (target, way)
        for target in (market, duke)
        for way in kinds
        if meta(2, target, attack=way, **crossed) != meta(15, target, attack=way, **crossed)
    }
    assert differing == {(market, "both"), (duke, "meta color")}
    where = {"extra": "personx_456", "learning": "meta"}
    for kind in ("color", "delta", "both"):
        crossed = meta(3, duke, tested="IDE", source=market, attack=f"meta {kind}")
        assert crossed == meta(6, duke, perturbation=kind, **where)


def video(number, target, row):
    (cell,) = [
        cell
        for cell in paper_table(f"vi_video.table{number}").cells
        if (cell["target"], cell["row"]) == (target, row)
    ]
    return tuple(cell[k] for k in ("rank1", "rank5", "rank10", "rank20", "mAP"))


def test_numbers_of_the_video_paper_are_where_it_has_them():
    there, back = "vcm_i2v", "vcm_v2i"
    assert video(1, there, "Baseline") == (58.05, 72.45, 78.49, 83.9, 43.23)
    assert video(1, back, "Baseline+ASAM") == (46.01, 66.58, 74.17, 81.39, 30.63)
    assert video(1, there, "Baseline+ASAM+ADM+FRM-STIG*") == (64.07, 77.44, 83.25, 87.35, 48.79)
    assert video(2, back, "VSD") == (57.52, 73.66, 79.38, 83.61, 43.35)
    assert video(2, there, "MITML") == (63.74, 76.88, 81.72, 86.28, 45.31)
    for target in (there, back):
        whole = "Baseline+ASAM+ADM+FRM-STIG"
        assert video(2, target, "Proposed") == video(1, target, whole)
        assert video(2, target, "Proposed*") == video(1, target, "Baseline+ASAM+ADM")


def test_in_the_paper_iterating_always_beats_one_step_on_the_attacked_model():
    """A slip of the hand in the diagonal would break this."""
    for number in (2, 3):
        table = paper_table(f"bai2019.table{number}")
        target = table.cells[0]["target"]
        for label in ATTACKED:
            means = {
                attack: table.mean(cell(target=target, attacked=label, attack=attack, tested=label))
                for attack in ("fgsm", "ifgsm", "mifgsm")
            }
            assert means["ifgsm"] < means["mifgsm"] < means["fgsm"] < 0.11


def test_a_number_is_found_by_what_it_is_of():
    assert paper_table("bai2019.table2").mean(cell()) == pytest.approx(0.2411)
    assert paper_table("bai2019.table2").mean(cell(eps=8.0)) is None
    assert paper_table("bai2019.table2").mean(cell(target="msmt17")) is None
    others = cell(attacked="B2+B3+B4", tested="B1")
    assert paper_table("bai2019.table4").mean(others) == pytest.approx(0.1455)
    ensemble = cell(attacked="B1+B2+B3", tested="ensemble", target="dukemtmcreid", attack="mifgsm")
    assert paper_table("bai2019.table4").mean(ensemble) == pytest.approx(0.03693)


def test_the_paper_stands_beside_ours():
    shown = markdown(paper_table("bai2019.table2").beside([cell(), cell(tested="mine")]))
    assert "25.0% (0.50) b [24.1%]" in shown
    assert "25.0% (0.50) b |" in shown


def test_an_unknown_table_is_a_sentence():
    with pytest.raises(ConfigError, match=r"did you mean 'bai2019\.table"):
        paper_table("bai2019.table7")


def test_the_spelling_of_an_earlier_release_is_accepted(capsys):
    assert paper_table("Joint_Defence.table1") == paper_table("joint_defense.table1")
    with pytest.raises(ConfigError, match=r"unknown table 'joint_defense.tabel1'.*table1"):
        paper_table("joint_defence.tabel1")
    with contextlib.suppress(SystemExit):
        assert not cli.main(["reproduce", "joint_defence.table1", "--help"])
    assert "reproduce joint_defense.table1" in capsys.readouterr().out
