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


def test_all_tables_are_there_and_whole():
    assert names() == [f"bai2019.table{number}" for number in (1, 2, 3, 4, 5)]
    sizes = [len(paper_table(name).cells) for name in names()]
    assert sizes == [12, 72, 72, 96, 20]


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
