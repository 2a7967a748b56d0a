# SPDX-License-Identifier: Apache-2.0
# pictures_check.py ATTEND FOLDER: SVG, PNG and terminal of the same weights agree with a second computation from the
# .npy, cell by cell in colour and digits, in every scale.
import math, os, random, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import oracle, pictures

attend, folder = sys.argv[1:3]
os.makedirs(folder, exist_ok=True)
faults = []
ENVIRONMENT = {**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm", "COLORTERM": "truecolor", "COLUMNS": "2000"}

def check(right, *what):
    if not right:
        faults.append(what)
        print("FAIL", *what)
    return right

def view(*arguments, status=0):
    run = subprocess.run([attend, "view", *arguments], capture_output=True, text=True, env=ENVIRONMENT)
    check(run.returncode == status, arguments, "status", run.returncode, run.stderr)
    return run

def first_difference(found, wanted):
    return next(((i, j, found[i][j], wanted[i][j]) for i in range(len(wanted)) for j in range(len(wanted[i]))
                 if found[i][j] != wanted[i][j]), None)

def same_cells(found, wanted, *what):
    check(len(found) == len(wanted) and first_difference(found, wanted) is None, *what,
          len(found) == len(wanted) and first_difference(found, wanted))

has_png = "libpng" not in subprocess.run([attend, "view", "--weights", "none.npy", "--out", os.path.join(folder, "x.png")],
                                         capture_output=True, text=True).stderr

def check_pictures(name, matrix, labels, columns_labels, arguments=(), **style):
    """One head in all three pictures."""
    base = os.path.join(folder, name)
    rows, columns = len(matrix), len(matrix[0])
    flat = [x for row in matrix for x in row]
    exponent = oracle.exponent_of(flat)
    oracle.write_npy(base + ".npy", (rows, columns), flat, "<f8")
    for end, tokens in (".rows", labels), (".columns", columns_labels):
        with open(base + end, "w", encoding="utf-8") as file:
            file.write("\n".join(tokens) + "\n")
    special = ("[CLS]", "[SEP]")
    sides = {"special_rows": [i for i, t in enumerate(labels) if t in special],
             "special_columns": [j for j, t in enumerate(columns_labels) if t in special]}
    fade = style.pop("fade", False)
    options = ["--weights", base + ".npy", "--row-labels", base + ".rows", "--column-labels", base + ".columns", *arguments]
    def colors(background):
        return oracle.cell_colors(matrix, exponent=exponent, background=background if fade else None, **sides, **style)
    def marked(colors): # terminal and PNG mark what is no number
        return [[c if math.isfinite(matrix[i][j]) else None for j, c in enumerate(row)] for i, row in enumerate(colors)]

    view(*options, "--out", base + ".svg")
    found, texts, _ = pictures.svg_cells(base + ".svg", rows, columns)
    wanted = [[c or oracle.NO_NUMBER for c in row] for row in colors((255, 255, 255))]
    same_cells(found, wanted, name, "SVG colours")
    wanted = [["%s to %s: %s" % (labels[i], columns_labels[j], oracle.digits(matrix[i][j], exponent)) for j in range(columns)]
              for i in range(rows)]
    same_cells(texts, wanted, name, "SVG digits")
    out = view(*options, "--color", "always").stdout
    same_cells(pictures.terminal_cells(out, rows, columns), marked(colors((128, 128, 128))), name, "terminal colours")
    if has_png:
        view(*options, "--out", base + ".png")
        found, bar = pictures.png_cells(base + ".png", rows, columns)
        same_cells(found, marked(colors((255, 255, 255))), name, "PNG colours")
        same_cells([bar], [[oracle.color(i / 255) for i in range(256)]], name, "PNG colour bar")

def softmax(rows, columns, seed, spread):
    r = random.Random(seed)
    return oracle.softmax_rows(rows, columns, lambda i, j: r.gauss(0, spread))

def labels_of(count):
    return ["[CLS]"] + ["<w%d> & \u5929" % i for i in range(count - 2)] + ["[SEP]"]

SCALES = [("--scale", s) for s in ("linear", "sqrt", "log")]
for n, (rows, columns, spread) in enumerate([(1, 1, 1), (7, 5, 1), (15, 15, 4), (4, 60, 9), (40, 9, 2), (128, 128, 3)]):
    matrix = softmax(rows, columns, n, spread)
    for scale in SCALES if n < 3 else SCALES[n % 3:n % 3 + 1]:
        for per_row in (False, True):
            for fade in (False, True) if rows > 1 else (False,):
                arguments = [*scale] + ["--per-row"] * per_row + ["--fade-special"] * fade
                check_pictures("m%d-%s%d%d" % (n, scale[1], per_row, fade), matrix, labels_of(rows)[:rows],
                               labels_of(columns)[:columns], arguments, scale=scale[1], per_row=per_row, fade=fade)

# What is no attention: numbers that are not finite, above one, very small, nothing at all.
odd = softmax(6, 6, 9, 2)
odd[1][2], odd[4][0], odd[5][5] = math.nan, math.inf, -math.inf
check_pictures("odd", odd, labels_of(6), labels_of(6))
check_pictures("odd-faded", odd, labels_of(6), labels_of(6), ["--fade-special", "--scale", "log"], fade=True, scale="log")
for name, factor in ("twelve", 12.5), ("thousands", 4321.0), ("huge", 1e30), ("tiny", 1e-9):
    check_pictures(name, [[x * factor for x in row] for row in softmax(5, 5, 3, 6)], labels_of(5), labels_of(5))
check_pictures("zeros", [[0.0] * 4 for _ in range(4)], labels_of(4), labels_of(4), ["--scale", "log"], scale="log")
check_pictures("one", [[1.0 if i == j else 0.0 for j in range(4)] for i in range(4)], labels_of(4), labels_of(4))

# Notices are in every picture.
_, _, texts = pictures.svg_cells(os.path.join(folder, "odd.svg"), 6, 6)
notice = "3 weights are no finite number and grey; the first, of layer 1, head 1, row 1, column 2, is NaN"
check(notice in texts, "no notice in the SVG", texts)
check(notice in view("--weights", os.path.join(folder, "odd.npy")).stdout, "no notice on the terminal")
if has_png:
    run = view("--weights", os.path.join(folder, "odd.npy"), "--out", os.path.join(folder, "odd2.png"))
    check(notice in run.stderr, "no notice beside the PNG", run.stderr)

# Past 128 cells a side the SVG holds a PNG of one pixel a cell.
if has_png:
    large = softmax(131, 40, 5, 3)
    path = os.path.join(folder, "large")
    oracle.write_npy(path + ".npy", (131, 40), [x for row in large for x in row])
    view("--weights", path + ".npy", "--scale", "sqrt", "--out", path + ".svg")
    same_cells(pictures.svg_embedded(path + ".svg"), oracle.cell_colors(large, scale="sqrt"), "embedded PNG")
    text = open(path + ".svg", encoding="utf-8").read()
    check("Past 128 x 128 cells" in text, "no notice of the embedded picture")
    check("http" not in text.replace("http://www.w3.org/", ""), "the SVG asks for something else")

# Characters where there is no colour: a level's share of nine or ten.
def shades(locale, ramp):
    matrix = softmax(9, 9, 21, 2)
    path = os.path.join(folder, "shades.npy")
    oracle.write_npy(path, (9, 9), [x for row in matrix for x in row])
    run = subprocess.run([attend, "view", "--weights", path, "--color", "never"], capture_output=True,
                         env={**ENVIRONMENT, "LC_ALL": locale, "COLUMNS": "85"})
    highest = max(oracle.shown_value(x) for row in matrix for x in row)
    lines = run.stdout.decode().splitlines()[2:11]
    for i, line in enumerate(lines):
        cells = line[4:]
        wanted = "".join(ramp[(2 * oracle.level(oracle.shown_value(x), highest, "linear") * (len(ramp) - 1) + 255) // 510] * 9
                         for x in matrix[i])
        check(cells == wanted, locale, "characters of row", i, repr(cells), repr(wanted))
shades("C", " .:-=+*#%@")
shades("C.UTF-8", " \u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588")

# The mean and the maximum of heads, rows of one word.
heads = [softmax(4, 6, s, 2) for s in (31, 32, 33)]
path = os.path.join(folder, "heads")
oracle.write_npy(path + ".npy", (1, 3, 4, 6), [x for h in heads for row in h for x in row])
for how, join in ("mean", lambda xs: sum(xs) / 3), ("max", max):
    view("--weights", path + ".npy", "--head", how, "--out", path + ".svg")
    _, texts, _ = pictures.svg_cells(path + ".svg", 4, 6)
    wanted = [["%d to %d: %s" % (i, j, oracle.digits(join([h[i][j] for h in heads]))) for j in range(6)] for i in range(4)]
    same_cells(texts, wanted, how, "of heads")
out = view("--weights", path + ".npy", "--head", "2", "--focus", "3").stdout.splitlines()
check(out[0] == 'layer 1, head 2: what "3" (token 3) attends to', out[0])
order = sorted(range(6), key=lambda j: (-oracle.shown_value(heads[1][3][j]), j))
check([line.split()[:2] for line in out[1:7]] == [[str(j), oracle.digits(heads[1][3][j])] for j in order], "focus", out[1:7])

# What is no number in one head is none in their mean and maximum.
heads[1][2][3] = math.nan
oracle.write_npy(path + ".npy", (1, 3, 4, 6), [x for h in heads for row in h for x in row])
for how, join in ("mean", lambda xs: sum(xs) / 3), ("max", max):
    view("--weights", path + ".npy", "--head", how, "--out", path + ".svg")
    _, texts, shown = pictures.svg_cells(path + ".svg", 4, 6)
    wanted = [["%d to %d: %s" % (i, j, "NaN" if (i, j) == (2, 3) else oracle.digits(join([h[i][j] for h in heads]))) for j in range(6)]
              for i in range(4)]
    same_cells(texts, wanted, how, "of heads with NaN")
    check("1 weight is no finite number and grey; the first, of layer 1, row 2, column 3, is NaN" in shown, shown)

print("%d faults" % len(faults) if faults else "all as expected")
sys.exit(bool(faults))
