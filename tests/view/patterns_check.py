# SPDX-License-Identifier: Apache-2.0
# patterns_check.py ATTEND FOLDER: the table of patterns against the definitions of docs/view.md computed a second time, and
# heads made to be of each kind.
import json, math, os, random, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import oracle

attend, folder = sys.argv[1:3]
os.makedirs(folder, exist_ok=True)
faults = []
NUMBERS = ["entropy", "distance", "local", "diagonal", "previous", "next", "first", "special", "block", "highest"]
TOKENS = "[CLS] the cat sleeps . . it is very tired ! [SEP] yes".split()
SENTENCE = [None, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, None, 2] # a mark ends its sentence, marks in a row one

def check(right, *what):
    if not right:
        faults.append(what)
        print("FAIL", *what)

def view(*arguments, status=0):
    run = subprocess.run([attend, "view", *arguments], capture_output=True, text=True)
    check(run.returncode == status, arguments, "status", run.returncode, run.stderr)
    return run

def mean(values):
    return sum(values) / len(values) if values else None

def patterns(matrix, tokens, blocks, same):
    """Straight from the definitions, a list of shares for each row that has any."""
    rows = [(i, [x / sum(row) for x in row]) for i, row in enumerate(matrix) if math.isfinite(sum(row)) and sum(row) > 0]
    keys = range(len(matrix[0]))
    def over(counts): # mean weight on the keys that count for a row
        return mean([sum(p[k] for k in keys if counts(i, k)) for i, p in rows])
    several = blocks is not None and len({b for b in blocks if b is not None}) > 1
    return {
        "entropy": mean([-sum(x * math.log(x) for x in p if x > 0) / math.log(len(keys)) if len(keys) > 1 else 0 for _, p in rows]),
        "distance": mean([sum(p[k] * abs(i - k) for k in keys) for i, p in rows]) if same else None,
        "local": over(lambda i, k: abs(i - k) <= 2) if same else None,
        "diagonal": over(lambda i, k: i == k) if same else None,
        "previous": over(lambda i, k: k == i - 1) if same else None,
        "next": over(lambda i, k: k == i + 1) if same else None,
        "first": over(lambda i, k: k == 0),
        "special": over(lambda i, k: tokens[k] in ("[CLS]", "[SEP]")),
        "block": mean([sum(p[k] for k in keys if blocks[k] == blocks[i]) for i, p in rows if blocks[i] is not None]) if several and same else None,
        "highest": mean([max(p) for _, p in rows]),
    }

RULES = [("previous", "previous", 0.4, 2), ("next", "next", 0.4, 2), ("diagonal", "diagonal", 0.4, 2), ("special", "special", 0.5, 2),
         ("first", "first", 0.5, 2), ("local", "local", 0.6, 1.5), ("block", "block", 0.75, 1.25), ("global", "entropy", 0.8, 0)]

def kind(found, even):
    if found["entropy"] is None:
        return "none"
    fits = [name for name, number, least, times in RULES
            if found[number] is not None and found[number] >= max(least, times * even[number])]
    return fits[0] if fits else "mixed"

def write(name, heads, rows, columns):
    path = os.path.join(folder, name + ".npy")
    oracle.write_npy(path, (1, len(heads), rows, columns), [x for h in heads for row in h for x in row], "<f8")
    return path

def check_patterns(name, heads, tokens, columns=None, blocks=None):
    """All heads of a file against the second computation; gives their kinds."""
    same = columns is None
    columns = columns or tokens
    path = write(name, heads, len(tokens), len(columns))
    for end, labels in (".rows", tokens), (".columns", columns):
        with open(path + end, "w") as file:
            file.write("\n".join(labels) + "\n")
    found = json.loads(view("--weights", path, "--row-labels", path + ".rows", "--column-labels", path + ".columns", "--patterns",
                            "--format", "json").stdout)
    check(found["schema"] == "attend-patterns/1" and found["rows"] == len(tokens) and found["columns"] == len(columns), found)
    even = patterns([[1.0] * len(columns) for _ in tokens], columns, blocks, same)
    for h, (head, got) in enumerate(zip(heads, found["heads"], strict=True)):
        wanted = patterns(head, columns, blocks, same)
        check((got["layer"], got["head"]) == (1, h + 1), name, got)
        for number in NUMBERS:
            a, b = got[number], wanted[number]
            check(a is b is None or (a is not None and b is not None and abs(a - b) <= 1e-12 * (1 + abs(b))), name, h + 1, number, a, b)
        check(got["kind"] == kind(wanted, even), name, h + 1, "kind", got["kind"], kind(wanted, even))
    return [h["kind"] for h in found["heads"]]

r = random.Random(7)
N = len(TOKENS)
def draw(rows, columns, spread):
    return [[math.exp(r.gauss(0, spread)) * 0.03 for _ in range(columns)] for _ in range(rows)]
def causal(matrix):
    return [[x if k <= i else 0.0 for k, x in enumerate(row)] for i, row in enumerate(matrix)]

heads = [draw(N, N, s) for s in (0.1, 1, 2, 4, 8)] + [causal(draw(N, N, 2))]
holes = draw(N, N, 2)
holes[3] = [0.0] * N
holes[4][5], holes[0][0] = math.nan, math.inf
check_patterns("random", heads + [holes, [[0.0] * N for _ in range(N)]], TOKENS, blocks=SENTENCE)
check_patterns("cross", [draw(4, N, 2), draw(4, N, 6)], ["a", "b", "c", "d"], TOKENS)
check_patterns("one-sentence", [draw(5, 5, 2)], "[CLS] a b . [SEP]".split(), blocks=[None, 0, 0, 0, None])
check_patterns("one-token", [[[0.7]]], ["a"], blocks=[0])

def almost(target):
    """Nine tenths of each row's weight on target(row), the rest even."""
    return [[0.1 / N + (0.9 / len(target(i)) if k in target(i) else 0) for k in range(N)] for i in range(N)]
made = {
    "previous": almost(lambda i: [max(i - 1, 0)]),
    "next": almost(lambda i: [min(i + 1, N - 1)]),
    "diagonal": almost(lambda i: [i]),
    "special": almost(lambda i: [11]),
    "local": almost(lambda i: [k for k in range(N) if abs(i - k) == 2 or abs(i - k) == 1]),
    "global": [[1.0] * N for _ in range(N)],
    "mixed": almost(lambda i: [(i + 4) % N, (i + 7) % N, (i + 9) % N]),
    "none": [[0.0] * N for _ in range(N)],
}
kinds = check_patterns("made", list(made.values()), TOKENS, blocks=SENTENCE)
check(kinds == list(made), "kinds of made heads", kinds)
long = (["w"] * 11 + ["."]) * 2
own = [k // 12 for k in range(24)]
block = [[0.9 / 12 * (own[k] == own[i]) + 0.1 / 24 for k in range(24)] for i in range(24)]
check(check_patterns("block", [block], long, blocks=own) == ["block"], "a head inside sentences")
plain = ["t%d" % i for i in range(N)] # without special tokens the first key has a kind of its own
check(check_patterns("sink", [almost(lambda i: [0])], plain) == ["first"], "a head on its first key")

# Two chosen texts and left out tokens do not change what a head is; combined heads are heads of their own.
path = write("sorted", heads, N, N)
whole = json.loads(view("--weights", path, "--patterns", "--format", "json").stdout)["heads"]
part = json.loads(view("--weights", path, "--patterns", "--format", "json", "--query", "2-4", "--key", "1-3", "--head", "2-3").stdout)
check(part["heads"] == whole[1:3], "patterns of a window")
check(len(part["notices"]) == 2, "notices", part["notices"])
joined = json.loads(view("--weights", path, "--patterns", "--format", "json", "--head", "mean").stdout)["heads"]
wanted = patterns([[sum(h[i][k] for h in heads) / len(heads) for k in range(N)] for i in range(N)], plain, None, True)
check(len(joined) == 1 and joined[0]["head"] == "mean" and abs(joined[0]["entropy"] - wanted["entropy"]) < 1e-12, joined)

# Sorting, in both forms.
for column in NUMBERS + ["layer", "head", "kind"]:
    order = json.loads(view("--weights", path, "--patterns", "--sort", column, "--format", "json").stdout)["heads"]
    keys = {"layer": lambda h: h["head"], "head": lambda h: h["head"], "kind": lambda h: (h["kind"], h["head"])}
    down = keys.get(column, lambda h: (h[column] is None, -(h[column] or 0), h["head"]))
    check(order == sorted(whole, key=down), "sorted by", column)
    table = view("--weights", path, "--patterns", "--sort", column).stdout.splitlines()
    check(table[0].split() == ["layer", "head", "kind"] + NUMBERS, table[0])
    for line, h in zip(table[1:len(order) + 1], order, strict=True):
        cells = ["-" if h[n] is None else "%.3f" % h[n] for n in NUMBERS]
        check(line.split() == [str(h["layer"]), str(h["head"]), h["kind"], *cells], line, h)

for wrong, words in (["--patterns", "--sort", "size"], "'size'"), (["--sort", "kind"], "--patterns"), (["--format", "json"], "--patterns"), \
        (["--patterns", "--format", "xml"], "'xml'"), (["--patterns", "--out", os.path.join(folder, "x.svg")], "--out"):
    run = view("--weights", path, *wrong, status=2)
    check(words in run.stderr and not run.stdout, wrong, run.stderr)

print("%d faults" % len(faults) if faults else "all as expected")
sys.exit(bool(faults))
