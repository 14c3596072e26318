"""The sorting script: allowed by its hash where a page asks for it, and found nowhere else."""

from __future__ import annotations

import base64
import hashlib
import re

from torchreid_adv.report.page import environment
from torchreid_adv.report.table import sorting

PAGE = """{% if wanted %}{% set sortable = true %}{% endif %}
<head>{% include "page_head.html" %}</head>
{% if wanted %}{% include "sorting.html" %}{% endif %}"""


def rendered(wanted):
    return environment().from_string(PAGE).render(wanted=wanted)


def policy(content):
    return re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', content)[1]


def test_a_page_that_asks_for_it_allows_this_script_alone():
    content = rendered(True)
    (script,) = re.findall(r"<script>(.*?)</script>", content, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"; script-src 'sha256-{digest}'; base-uri 'none'" in policy(content)
    assert policy(content).startswith(
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    )
    assert policy(content).count("unsafe") == 1


def test_other_pages_allow_no_script():
    content = rendered(False)
    assert "script" not in content
    assert policy(content).startswith("default-src 'none';")


def test_the_script_ends_nothing_early_and_makes_no_markup():
    script = str(sorting().script)
    assert "</" not in script
    assert "<!--" not in script
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval", script)
