# SPDX-License-Identifier: Apache-2.0
# files_check.py ATTEND FOLDER: every form of .npy and .safetensors gives the same picture; files that lie, labels that do
# not fit, windows, limits: a sentence, or a picture with a notice.
import json, math, os, random, struct, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import oracle

attend, folder = sys.argv[1:3]
os.makedirs(folder, exist_ok=True)
faults = []
ENVIRONMENT = {**os.environ, "LC_ALL": "C.UTF-8", "COLUMNS": "200"}
SHAPE = (2, 3, 4, 5)
COUNT = math.prod(SHAPE)
r = random.Random(11)
NUMBERS = [r.randrange(1, 128) / 128 for _ in range(COUNT)] # exact in float16 and bfloat16

def check(right, *what):
    if not right:
        faults.append(what)
        print("FAIL", *what)

def view(*arguments, status=0):
    run = subprocess.run([attend, "view", *arguments], capture_output=True, env=ENVIRONMENT)
    run.out, run.err = run.stdout.decode(), run.stderr.decode()
    check(run.returncode == status, arguments, "status", run.returncode, run.err[:300])
    check(run.returncode in (0, 1, 2), arguments, "died", run.returncode)
    return run

def refused(words, *arguments, status=1):
    run = view(*arguments, status=status)
    check(run.err.startswith("attend: ") and words in run.err and not run.stdout, arguments, "should say", words, "says", run.err[:300])

def place(name, data):
    path = os.path.join(folder, name)
    with open(path, "wb") as file:
        file.write(data)
    return path

def npy(header, data, version=1, length=None):
    header = header.encode("latin-1")
    form = "<H" if version == 1 else "<I"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack(form, len(header) if length is None else length) + header + data

def header(descr="<f4", fortran=False, shape=SHAPE):
    return "{'descr': '%s', 'fortran_order': %s, 'shape': (%s), }" % (descr, fortran, "".join("%s, " % n for n in shape))

def packed(numbers, descr):
    return struct.pack("%s%d%s" % (descr[0], len(numbers), {"2": "e", "4": "f", "8": "d"}[descr[2]]), *numbers)

def bfloat16(numbers):
    return b"".join(struct.pack("<f", x)[2:] for x in numbers)

def safetensors(tensors):
    """name -> (dtype, shape, bytes)"""
    table, data = {}, b""
    for name, (dtype, shape, part) in tensors.items():
        table[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    text = json.dumps(table).encode()
    return struct.pack("<Q", len(text)) + text + data

# ---- every form of the same numbers
ALL = ("--layer", "all", "--head", "all")
good = place("good.npy", npy(header(), packed(NUMBERS, "<f4")))
wanted = view("--weights", good, *ALL).out
check(wanted.count("rows attend to columns") == 6, wanted)
fortran = [NUMBERS[((l * 3 + h) * 4 + q) * 5 + k] for k in range(5) for q in range(4) for h in range(3) for l in range(2)]
for descr in "<f2", ">f2", "<f4", ">f4", "<f8", ">f8":
    for version in 1, 2, 3:
        for order, numbers in (False, NUMBERS), (True, fortran):
            path = place("form.npy", npy(header(descr, order) + "   \n", packed(numbers, descr), version))
            check(view("--weights", path, *ALL).out == wanted, "another picture of", descr, version, order)
for text in ("{'shape':(2,3,4,5),'descr':\"<f4\",'fortran_order':False}", "{ 'descr' : '<f4' , 'fortran_order' : False ,\n'shape' : (2L, 3L, 4L, 5L,) }"):
    check(view("--weights", place("form.npy", npy(text, packed(NUMBERS, "<f4"))), *ALL).out == wanted, text)
for dtype, data in ("F64", packed(NUMBERS, "<f8")), ("F32", packed(NUMBERS, "<f4")), ("F16", packed(NUMBERS, "<f2")), ("BF16", bfloat16(NUMBERS)):
    path = place("form.safetensors", safetensors({"weights": (dtype, SHAPE, data)}))
    check(view("--weights", path, *ALL).out == wanted, "another picture of", dtype)
two = place("two.safetensors", safetensors({"a": ("F32", (2, 2), packed([0.5] * 4, "<f4")), "weights": ("F32", SHAPE, packed(NUMBERS, "<f4")),
                                           "ids": ("I64", (2, 2), bytes(32))}))
check(view("--weights", two, "--tensor", "weights", *ALL).out == wanted, "--tensor")
part = NUMBERS[3 * 20:6 * 20]
check(view("--weights", place("three.npy", npy(header(shape=(3, 4, 5)), packed(part, "<f4"))), "--head", "2").out
      == view("--weights", good, "--layer", "2", "--head", "2").out.replace("layer 2", "layer 1"), "three sizes")
check(view("--weights", place("rank.npy", npy(header(shape=(4, 5)), packed(part[:20], "<f4")))).out
      == view("--weights", good, "--layer", "2", "--head", "1").out.replace("layer 2", "layer 1"), "two sizes")

# ---- layers, heads, windows
check("layer 2, mean of 3 heads" in view("--weights", good).out, "the last layer's mean is not the default")
check("layer 1, maximum of 3 heads" in view("--weights", good, "--head", "max", "--layer", "1").out, "max")
check(view("--weights", good, "--layer", "2", "--head", "2-3").out.count("rows attend") == 2, "a range of heads")
for words, option in ("1 to 2", ("--layer", "3")), ("1 to 2", ("--layer", "0")), ("1 to 2", ("--layer", "2-1")), ("1 to 3", ("--head", "1-4")), \
        ("'medium'", ("--head", "medium")), ("'1-'", ("--layer", "1-")), ("0 to 3", ("--query", "4")), ("0 to 3", ("--query", "all")), \
        ("0 to 4", ("--key", "-1")), ("0 to 4", ("--key", "3-9")), ("'7'", ("--focus", "7")), ("'1:2'", ("--focus", "1:2")):
    refused(words, "--weights", good, *option)
window = view("--weights", good, "--head", "1", "--query", "1-2", "--key", "2").out
check("2 of 4 rows are shown" in window and "1 of 5 columns are shown" in window, window)
svg = os.path.join(folder, "window.svg")
view("--weights", good, "--head", "1", "--query", "1-2", "--key", "2-4", "--out", svg)
for i in 1, 2:
    for j in 2, 3, 4:
        check("<title>%d to %d: %s</title>" % (i, j, oracle.digits(NUMBERS[(3 * 4 + i) * 5 + j])) in open(svg).read(), "cell", i, j)
refused("one head", "--weights", good, "--layer", "all", "--out", svg)
refused("one head", "--weights", good, "--head", "1-2", "--out", svg)

# ---- labels
rows, columns = place("rows.txt", "it\nwas\r\n[SEP]\n<&>".encode()), place("columns.txt", "la\n\u732b\n[SEP]\n\u05d0\nx\n".encode())
run = view("--weights", good, "--row-labels", rows, "--column-labels", columns, "--focus", "was", "--head", "1")
check('what "was" (token 1) attends to' in run.out and "\u732b" in run.out, run.out)
check("[SEP]" not in view("--weights", good, "--row-labels", rows, "--column-labels", columns, "--no-special").out, "--no-special")
again = place("again.txt", b"a\nb\na\nb\n")
run = view("--weights", good, "--row-labels", again, "--focus", "b:2", "--head", "1")
check('what "b" (token 3)' in run.out, run.out)
check(not any(ord(c) < 32 and c != "\n" for c in view("--weights", good, "--row-labels", place("steer.txt", b"\x1b[31m\na\tb\nc\nd")).out), "control characters")
for words, data in ("3 labels", b"a\nb\nc\n"), ("5 labels", b"a\nb\nc\nd\n\n"), ("0 labels", b""), ("in line 2, is not UTF-8", b"a\nb\xff\nc\nd"), \
        ("byte 0, in line 1", b"\xc3(\nb\nc\nd"), ("in line 4, is not UTF-8", b"a\nb\nc\n\xed\xa0\x80"), ("is not UTF-8", b"a\nb\nc\n\0"):
    refused(words, "--weights", good, "--row-labels", place("wrong.txt", data))
refused("5 columns", "--weights", good, "--labels", rows)
refused("nowhere.txt", "--weights", good, "--labels", os.path.join(folder, "nowhere.txt"))
refused("no token is left", "--weights", place("sep.npy", npy(header(shape=(1, 1)), packed([1.0], "<f4"))), "--labels", place("sep.txt", b"[SEP]"), "--no-special")

# ---- files that lie
data = packed(NUMBERS, "<f4")
negative = list(NUMBERS)
negative[((1 * 3 + 1) * 4 + 2) * 5 + 3] = -0.5
LIES = [("no .npy file", b""), ("no .npy file", b"\x93NUMPY\x01\x00"), ("no .npy file", b"PK\x03\x04" + bytes(100)), ("version 4.0", npy(header(), data, 4)),
        ("version 1.7", b"\x93NUMPY\x01\x07" + bytes(80)), ("ends behind", npy(header(), data, 1, 65535)), ("ends behind", npy(header(), data, 2, 2**32 - 1)),
        ("no dictionary", npy("", data)), ("no dictionary", npy("[]", data)), ("no dictionary", npy("{'descr'", data)), ("no dictionary", npy("{'descr: '<f4'", data)),
        ("does not end", npy("{'fortran_order': False", data)), ("goes on", npy(header() + "x", data)), ("lacks shape", npy("{'descr': '<f4', 'fortran_order': True}", data)),
        ("lacks descr", npy("{}", data)), ("twice", npy("{'fortran_order': False, 'fortran_order': False, }", data)), ("'order'", npy("{'order': 1}", data)),
        ("'<i8'", npy(header("<i8"), data)), ("'|O'", npy(header("|O"), data)), ("'<c8'", npy(header("<c8"), data)), ("'<f16'", npy(header("<f16"), data)),
        ("'f4'", npy(header("f4"), data)), ("'=f4'", npy(header("=f4"), data)), ("not single numbers", npy("{'descr': [('a', '<f4')], }", data)),
        ("neither True nor False", npy("{'fortran_order': 0, }", data)), ("no number that fits", npy(header(shape=(2, -1)), data)),
        ("no number that fits", npy(header(shape=(10**30, 1)), data)), ("more elements than memory", npy(header(shape=(2**62, 8)), data)),
        ("more than 8 sizes", npy(header(shape=(1,) * 9), data)), ("no list", npy("{'shape': 5, }", data)), ("does not end", npy("{'shape': (1 2), }", data)),
        ("does not end", npy("{'shape': (1", data)), ("480 bytes of elements", npy(header(shape=(2, 3, 4, 6)), data)), ("480 bytes", npy(header(shape=(2**40, 2**20)), data)),
        ("479 bytes", npy(header(), data[:-1])), ("481 bytes", npy(header(), data + b"x")), ("[120]", npy(header(shape=(120,)), data)), ("[]", npy(header(shape=()), data[:4])),
        ("[1, 2, 3, 4, 5]", npy(header(shape=(1, 2, 3, 4, 5)), data)), ("no weight", npy(header(shape=(2, 0, 4)), b"")), ("no weight", npy(header(shape=(0, 0)), b"")),
        ("65536", npy(header(shape=(70000, 1, 1)), bytes(280000))),
        ("layer 2, head 2, row 2, column 3 is -0.5", npy(header(), packed(negative, "<f4")))]
for words, content in LIES:
    refused(words, "--weights", place("lie.npy", content))
beside = place("beside.npy", npy(header(), packed(negative, "<f4"))) # only what is chosen is read
check(view("--weights", beside, "--layer", "1").out == view("--weights", good, "--layer", "1").out, "what is not chosen is read")
check(view("--weights", beside, "--head", "3").out == view("--weights", good, "--head", "3").out, "what is not chosen is read")
for cut in range(0, 140): # every shorter file is refused, whatever it is cut in
    refused("lie.npy", "--weights", place("lie.npy", npy(header(), data)[:cut]))
zero = [view("--weights", place("form.npy", npy(header(), packed([x] + NUMBERS[1:], "<f4"))), *ALL).out for x in (0.0, -0.0)]
check(zero[0] == zero[1] != wanted, "minus zero is zero")
refused("too large", "--weights", place("lie.npy", npy(header("<f8", shape=(1, 1)), packed([1e305], "<f8"))))
whole = safetensors({"w": ("F32", SHAPE, data)})
for words, content in ("lie.safetensors", b""), ("lie.safetensors", whole[:-1]), ("lie.safetensors", b"\xff" * 64), ("type I64", safetensors({"w": ("I64", (2, 2), bytes(32))})), \
        ("no weight", safetensors({"w": ("F32", (2, 0), b"")})), ("[4]", safetensors({"w": ("F32", (4,), bytes(16))})), ("0 tensors", safetensors({})):
    refused(words, "--weights", place("lie.safetensors", content))
refused("has 3 tensors", "--weights", two)
refused("no tensor 'x\\x1b'", "--weights", two, "--tensor", "x\x1b")
refused("type I64", "--weights", two, "--tensor", "ids")
refused("without a name", "--weights", good, "--tensor", "weights")
refused("neither .npy nor .safetensors", "--weights", place("weights.npz", b"PK"))
refused("cannot be opened", "--weights", os.path.join(folder, "nowhere.npy"))
os.makedirs(os.path.join(folder, "folder.npy"), exist_ok=True)
refused("folder.npy", "--weights", os.path.join(folder, "folder.npy"))
for words, arguments in ("exclude", ("--model", "m", "--weights", good)), ("takes no TEXT", ("--weights", good, "text")), ("are for --weights", ("--model", "m", "--labels", "l", "text")), \
        ("two TEXTs", ("--weights", good, "--pair", "A-B")), ("'middle'", ("--weights", good, "--scale", "middle")), ("'x.gif'", ("--weights", good, "--out", "x.gif")), \
        ("an argument is missing", ("--model", "m")), ("'B'", ("--model", "m", "--pair", "B", "t", "t")):
    refused(words, *arguments, status=2)

# ---- where to write, and how much
refused("no/such", "--weights", os.path.join(folder, "nowhere.npy"), "--out", os.path.join(folder, "no/such/x.svg")) # said first
refused("folder.svg", "--weights", good, "--head", "1", "--out", os.makedirs(os.path.join(folder, "folder.svg"), exist_ok=True) or os.path.join(folder, "folder.svg"))
run = subprocess.run([attend, "view", "--weights", good, "--head", "1", "--out", os.path.join(folder, "x.png")], capture_output=True, text=True)
has_png = "without libpng" not in run.stderr
check(run.returncode == (not has_png), "PNG", run.stderr)

def zeros(name, shape):
    """A file of zeros, which takes no room on the disk."""
    path = place(name, npy(header("<f2", shape=shape), b""))
    with open(path, "r+b") as file:
        file.truncate(os.path.getsize(path) + 2 * math.prod(shape))
    return path

large = zeros("large.npy", (10000, 10000))
out = view("--weights", large).out
check("of 10000 columns fit here" in out and "only the first 512 of 10000 rows" in out and len(out) < 10**6, out[-300:])
if not has_png:
    refused("without libpng", "--weights", zeros("side.npy", (129, 5)), "--out", os.path.join(folder, "x.svg"))
if has_png:
    for end in "svg", "png":
        refused("8192 a side", "--weights", large, "--out", os.path.join(folder, "large." + end))
    run = view("--weights", large, "--query", "0-9", "--key", "9000-9999", "--out", os.path.join(folder, "large.svg"))
    check("10 of 10000 rows are shown" in open(os.path.join(folder, "large.svg")).read(), "no notice of the window")
page = os.path.join(folder, "large.html")
run = view("--weights", zeros("many.npy", (2, 3, 2500, 2500)), "--out", page)
check("MiB will be written" in run.err and os.path.getsize(page) > 64 << 20, run.err)
run = view("--weights", zeros("few.npy", (2, 3, 25, 25)), "--out", page)
check(not run.err, run.err)
for name in "large.npy", "many.npy", "large.html":
    os.remove(os.path.join(folder, name))

print("%d faults" % len(faults) if faults else "all as expected")
sys.exit(bool(faults))
