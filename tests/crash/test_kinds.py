"""Every kind of work, killed at random moments: the same command goes on, and leaves the same.

The default run samples the moments; ``python -m pytest tests/crash/test_kinds.py -m slow`` takes
fifty of each kind and prints the counts.
"""

import random

import pytest
from kinds import KINDS, arguments, done_twice, kept

AT_MOST = 3  # kills of one run, which then may end
MARKED = [pytest.param(1, id="sampled"), pytest.param(50, id="full", marks=pytest.mark.slow)]


@pytest.mark.parametrize("count", MARKED)
@pytest.mark.parametrize("kind", KINDS)
def test_killed_work_goes_on(kind, count, jobs, undisturbed, capsys):
    expected, seconds = undisturbed(kind)
    generator = random.Random(kind)
    kills = runs = lost = different = twice = 0
    while kills < count:
        place, codes, last = jobs.fresh(kind), [-9], min(kills + AT_MOST, count)
        while codes == [-9]:
            delay = generator.uniform(0.03, 0.9) * seconds
            order = {"signal": "SIGKILL", "delay": delay, "victims": [0]} if kills < last else {}
            codes = jobs.command(arguments(kind, jobs, place), **order)
            kills += codes == [-9]
        if kills < last:  # a machine that is faster now than at first kills sooner
            seconds *= 0.7
        assert codes == [0], jobs.said()
        jobs.said()
        found, runs = kept(place), runs + 1
        lost += len(expected.keys() - found.keys())
        different += sum(found.get(name, content) != content for name, content in expected.items())
        twice += done_twice(place) + len(found.keys() - expected.keys())
        assert (lost, twice, different) == (0, 0, 0), sorted(
            name for name in {*expected, *found} if expected.get(name) != found.get(name)
        )
    with capsys.disabled():
        print(f"\n{kind}: {kills} kills in {runs} runs, ", end="")
        print(f"{lost} lost, {twice} duplicated, {different} different")
