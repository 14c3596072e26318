"""Words on every kind of page stand out from what is behind them, as Chromium renders both."""

import pytest
from browser import MISSING, browser
from report.sample_pages import write_pages

SCHEMES = ("light", "dark")
# each text with the first opaque color behind it; 4.5 to 1 is WCAG AA, 3 to 1 for large letters
LOW = """
const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const parts = (color) => (color.match(/[\\d.]+/g) || []).map(Number);
const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const behind = (one) => {
  for (let node = one; node; node = node.parentElement) {
    const color = parts(getComputedStyle(node).backgroundColor);
    if (color.length == 3 || color[3] == 1) return color;
  }
  return [255, 255, 255];
};
const low = [];
for (const one of document.body.querySelectorAll("*")) {
  const own = [...one.childNodes].filter((n) => n.nodeType == 3).map((n) => n.data).join("").trim();
  if (!own || one.closest("svg, style, script") || !one.getClientRects().length) continue;
  const style = getComputedStyle(one);
  const pair = [light(parts(style.color)), light(behind(one))].sort((a, b) => b - a);
  const size = parseFloat(style.fontSize), bold = style.fontWeight >= 700;
  const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
  if (ratio < (size >= 24 || (bold && size >= 18.66) ? 3 : 4.5)) {
    low.push(`${one.tagName} ${own.slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
}
return low;"""


@pytest.mark.skipif(bool(MISSING), reason=MISSING)
def test_rendered_words_stand_out_light_and_dark(tmp_path, make_target, make_results):
    pages = write_pages(tmp_path, make_target, make_results)
    faint = tmp_path / "faint.html"
    faint.write_text('<html><body style="background: #fff"><p style="color: #999">faint</p></body>')
    low = {}
    with browser(tmp_path / "profile", width=820) as window:
        for scheme in SCHEMES:
            feature = {"name": "prefers-color-scheme", "value": scheme}
            window.command("Emulation.setEmulatedMedia", features=[feature])
            for name, path in {**pages, "faint": faint}.items():
                window.open(path)
                low[name, scheme] = window.run(LOW)
    assert [low.pop(("faint", scheme)) for scheme in SCHEMES] == [["P faint: 2.85"]] * 2
    assert {page: texts for page, texts in low.items() if texts} == {}
