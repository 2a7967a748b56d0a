# SPDX-License-Identifier: Apache-2.0
# page_check.py ATTEND FOLDER: the page of `attend view --out FILE.html` in headless Chromium without a network: digits and
# colours of every cell against a second computation, pointing, pinning, keys, links, themes, paper, hostile tokens, a
# long text. Exits with 77 where there is no browser.
import os, random, shutil, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import oracle
from browser import Browser

attend, folder = sys.argv[1], sys.argv[2]
if not shutil.which("chromedriver"):
    print("skipped: chromedriver is missing (chromium-driver)")
    sys.exit(77)
os.makedirs(folder, exist_ok=True)
faults = []

def check(right, *what):
    if not right:
        faults.append(" ".join(str(w) for w in what))
        print("FAIL", faults[-1])

TOKENS = ["it", "<script>alert(1)</script>", "\u05e9\u05dc\u05d5\u05dd", "e\u0302\u0323", "\U0001f469\u200d\U0001f467", "a" * 40, "</script>", "&amp;\"'"]
N = len(TOKENS)

def make(name, heads, rows=N, columns=N, labels=TOKENS, arguments=()):
    """heads: [layer][head] -> rows of weights. Returns the page's path."""
    base = os.path.join(folder, name)
    flat = [x for layer in heads for head in layer for row in head for x in row]
    oracle.write_npy(base + ".npy", (len(heads), len(heads[0]), rows, columns), flat)
    with open(base + ".txt", "w", encoding="utf-8") as file:
        file.write("".join(t + "\n" for t in labels))
    run = subprocess.run([attend, "view", "--weights", base + ".npy", "--labels", base + ".txt", "--out", base + ".html", *arguments],
                         capture_output=True, text=True)
    check(run.returncode == 0, name, "was not written:", run.stderr)
    return base + ".html"

def weights(seed):
    r = random.Random(seed)
    return oracle.softmax_rows(N, N, lambda i, j: r.gauss(0, 3))

PIXELS = """const c = document.getElementById('cells'), n = arguments[0], r = [];
const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
for (let y = 0; y < n; y++) for (let x = 0; x < n; x++) {
    const at = 4 * (Math.floor((y + 0.5) * c.height / n) * c.width + Math.floor((x + 0.5) * c.width / n));
    r.push([d[at], d[at + 1], d[at + 2]]);
}
return r;"""

def check_colors(b, head, what, **style):
    expected = [c for row in oracle.cell_colors(head, **style) for c in row]
    found = b.run(PIXELS, N)
    wrong = [i for i in range(N * N) if tuple(found[i]) != (expected[i] or (128, 128, 128))]
    check(not wrong, what, ":", len(wrong), "cells of another colour, first", wrong[:1] and (found[wrong[0]], expected[wrong[0]]))

def check_digits(b, head, what):
    b.run("document.getElementById('numbers').open = true")
    b.wait("return document.querySelectorAll('#numbers tr').length === %d" % (N + 1))
    found = b.run("return Array.from(document.querySelectorAll('#numbers tr')).slice(1).map(r => Array.from(r.querySelectorAll('td')).map(c => c.textContent))")
    b.run("document.getElementById('numbers').open = false")
    expected = [[oracle.digits(x) for x in row] for row in head]
    check(found == expected, what, ": digits", found, expected)

def check_console(b):
    said = b.complaints()
    check(said == [], "the console says", said)

def middle(b, row, column):
    return b.run("""document.getElementById('scroller').scrollIntoView(); const r = document.getElementById('cells').getBoundingClientRect();
return [r.left + (arguments[1] + 0.5) * r.width / arguments[2], r.top + (arguments[0] + 0.5) * r.height / arguments[2]];""", row, column, N)

def try_small(b):
    heads = [[weights(10 * l + h) for h in range(3)] for l in range(2)]
    heads[1][2][0][1] = oracle.single(0.6466)
    page = make("small", heads)
    b.requests()
    b.open(page)
    check([r for r in b.requests() if not r.startswith("file:///") and r != "about:blank"] == [], "the page asked for something")
    check(b.run("return document.querySelectorAll('script').length") == 2 + 6, "a token became a script")
    for l in range(2):
        for h in range(3):
            b.open(page, "#layer=%d&head=%d" % (l + 1, h + 1))
            check_colors(b, heads[l][h], "layer %d head %d" % (l + 1, h + 1))
            check_digits(b, heads[l][h], "layer %d head %d" % (l + 1, h + 1))
    for scale in ("sqrt", "log"):
        b.open(page, "#layer=2&head=3&scale=" + scale)
        check_colors(b, heads[1][2], scale, scale=scale)
        b.open(page, "#layer=2&head=3&rows=own&scale=" + scale)
        check_colors(b, heads[1][2], scale + " by row", scale=scale, per_row=True)
    try_pointing(b, page, heads)
    try_looks(b, page)

def try_pointing(b, page, heads):
    b.open(page, "#layer=2&head=3")
    b.pointer(*middle(b, 0, 1))
    tip = b.run("return document.getElementById('tip').innerText")
    check("0.6466" in tip and "it" in tip and "<script>" in tip, "pointed at, the cell says", tip)
    b.pointer(*middle(b, 0, 1), click=True)
    check(b.run("return location.hash") == "#layer=2&head=3&row=0&key=1", "the link is", b.run("return location.hash"))
    bars = b.run("return Array.from(document.querySelectorAll('#bars .number')).map(e => e.textContent)")
    row = sorted(heads[1][2][0], key=oracle.shown_value, reverse=True)
    check(bars == [oracle.digits(x) for x in row], "bars of the pinned row", bars)
    best = b.run("return document.querySelector('#panel details li').textContent")
    values = {(l, h): oracle.shown_value(heads[l][h][0][1]) for l in range(2) for h in range(3)}
    l, h = max(values, key=values.get)
    check(best.startswith("layer %d, head %d" % (l + 1, h + 1)), "the strongest head of the pair is", best)
    link = b.run("return location.hash")
    b.open(page, link)
    check(b.run("return document.getElementById('pair').textContent").endswith("0.6466"), "a link opens another view")
    b.keys("l")
    check("layer 2, head 1" == b.run("return document.getElementById('head-title').textContent"), "the key for the next head")
    b.keys("j")
    check("layer 1, head 1" == b.run("return document.getElementById('head-title').textContent"), "the key for the next layer")
    b.run("document.getElementById('find').focus()")
    b.keys("aaaa")
    check(b.run("return document.getElementById('found').textContent").startswith("1 "), "a token is not found")
    b.open(page, "#layer=2&head=3&view=lines&row=0")
    check(b.run("return document.querySelectorAll('#lines line').length") > 0, "no lines")
    check(b.run("return document.querySelectorAll('#lines text').length") == 2 * N, "labels of the lines")
    check_console(b)

def try_looks(b, page):
    back = "return getComputedStyle(document.body).backgroundColor"
    b.open(page)
    for theme, color in (("dark", "rgb(20, 22, 26)"), ("light", "rgb(255, 255, 255)")):
        b.emulate(prefers_color_scheme=theme)
        check(b.run(back) == color, theme, "is", b.run(back))
    b.emulate(prefers_color_scheme="dark", medium="print")
    check(b.run(back) == "rgb(255, 255, 255)" and b.run("return getComputedStyle(document.querySelector('.controls')).display") == "none", "paper")
    b.emulate()
    count = b.run("return Array.from(document.querySelectorAll('button, select, input, [role=application]')).filter(e => "
                  "!(e.getAttribute('aria-label') || e.textContent.trim() || e.closest('label'))).length")
    check(count == 0, count, "controls have no name")
    sort = "return Array.from(document.querySelectorAll('#patterns tbody tr')).map(r => +r.children[3].textContent)"
    b.run("document.querySelector('#patterns').open = true; document.querySelectorAll('#patterns th button')[3].click()")
    found = b.run(sort)
    check(found == sorted(found, reverse=True) and len(found) == 6, "sorted patterns", found)

def try_odd(b):
    head = weights(7)
    head[2][3] = float("nan")
    page = make("odd", [[head]])
    b.open(page)
    check_digits(b, head, "with NaN")
    check("not a number" in b.run("return document.getElementById('legend').textContent"), "no legend for NaN")
    check(b.run("return document.querySelectorAll('#notices li').length") >= 1, "no notice of NaN")
    count = 512
    base = oracle.softmax_rows(count, count, lambda i, j: -abs(i - j) / 20 + (i * j % 7))
    page = make("long", [[base] * 4] * 2, count, count, ["t%d" % i for i in range(count)])
    seconds = b.open(page)
    b.wait("return document.documentElement.dataset.heads === 'drawn'")
    print("%d tokens: open after %.2f s" % (count, seconds))
    check(b.run("const s = document.getElementById('scroller'); return s.scrollWidth >= s.clientWidth && s.clientWidth > 100"), "no map of a long text")
    b.run("const c = document.getElementById('cell'); c.value = '20'; c.dispatchEvent(new Event('change'))")
    b.run("const s = document.getElementById('scroller'); s.scrollLeft = s.scrollTop = 400 * 20")
    b.wait("return Array.from(document.querySelectorAll('#row-labels span')).some(e => e.textContent === 't405')")
    check_console(b)

with Browser() as browser:
    try_small(browser)
    try_odd(browser)
print("page: %d faults" % len(faults))
sys.exit(1 if faults else 0)
