import pytest

from torchreid_adv.errors import ConfigError
from torchreid_adv.report.matrix import Cell, markdown
from torchreid_adv.report.paper import names, paper_table

ATTACKED = ("B1", "B2", "B3", "B4")


def cell(**changes):
    facts = {"target": "market1501", "attacked": "B1", "attack": "ifgsm", "eps": 5.0}
    facts |= {"metric": "", "tested": "B4", "kind": "black"}
    clean, after = {"mAP": 0.5, "cmc": {"1": 0.8}}, {"mAP": 0.25, "cmc": {"1": 0.4}}
    return Cell(**{**facts, **changes}, clean=clean, adversarial=after)


SIZES = {
    "bai2019.fig5": 10,
    "joint_defence.fig5": 0,  # plots without numbers
    "joint_defence.fig9": 0,
    **{f"bai2019.table{n}": size for n, size in enumerate((12, 72, 72, 96, 20), 1)},
    **{f"joint_defence.table{n}": s for n, s in enumerate((4, 12, 8, 24, 16, 10, 28, 16, 2), 1)},
}


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
        assert set(table.measures) <= set(cell)
        assert all(0 < value < 100 for value in table.printed(cell).values())
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
        for cell in paper_table(f"joint_defence.table{number}").cells
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
    assert joint(9, market, attacked="DL") == (84.3, 93.2, 66.6)


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
