from torchreid_adv.cli import main
from torchreid_adv.errors import printable


def test_printable_spells_out_what_is_not():
    assert printable("a\x1b[31m\nb\u202e\udc80é人") == "a\\x1b[31m\\nb\\u202e\\udc80é人"
    assert printable("a\tb\x7f\u2028") == "a\\tb\\x7f\\u2028"
    assert printable("") == ""


def test_no_control_character_of_a_name_reaches_the_terminal(capsys):
    assert main(["\x1b]0;owned\x07\nerror: all is well\x9b2J"]) == 2
    said = capsys.readouterr().err
    assert said.endswith("\n")
    assert said[:-1].isprintable()
    assert "\\x1b]0;owned\\x07\\n" in said
