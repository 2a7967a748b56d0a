# SPDX-License-Identifier: Apache-2.0
# What every picture of some weights must show, computed a second time: digits by exact decimals, colours from the
# definition of OKLCH (B. Ottosson 2020). Also a writer of .npy files, so that tests need no NumPy.
import decimal, functools, math, struct

def digits(x, exponent=0):
    """weight_code.h: four decimal digits, a half goes up; of weights by 10^exponent the tiny ones begin later."""
    if not math.isfinite(x):
        return "NaN"
    if x == 0:
        return "0"
    with decimal.localcontext(decimal.Context(prec=4, rounding=decimal.ROUND_HALF_UP)):
        d = +decimal.Decimal(x)
    if d < decimal.Decimal(1).scaleb(exponent - 7):
        return "<1e%+03d" % (exponent - 7)
    if d == decimal.Decimal(1).scaleb(exponent) and exponent < 4:
        return str(10 ** exponent)
    place = d.adjusted()
    if place < -4 or place > 3:
        return "%se%+03d" % (d.scaleb(-place).quantize(decimal.Decimal("0.001")), place)
    return str(d.quantize(decimal.Decimal(1).scaleb(place - 3)))

def shown_value(x, exponent=0):
    text = digits(x, exponent)
    return 0.0 if text.startswith("<") else float(text)

def exponent_of(numbers):
    """The power of ten that a set's values are held by: the least that no value is above when rounded."""
    highest = max((x for x in numbers if math.isfinite(x)), default=0)
    exponent = 0
    while shown_value(highest) > 10 ** exponent:
        exponent += 1
    return exponent

@functools.lru_cache(maxsize=None)
def color(t):
    t = min(max(t, 0), 1)
    lightness, hue, chroma = 0.20 + 0.75 * t, math.radians(310 - 210 * t), 0.10
    while True:
        a, b = chroma * math.cos(hue), chroma * math.sin(hue)
        l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
        m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
        s = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
        rgb = (4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s, -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
               -0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s)
        if all(0 <= x <= 1 for x in rgb) or chroma <= 1e-3:
            break
        chroma *= 0.97
    return tuple(int((12.92 * x if x <= 0.0031308 else 1.055 * x ** (1 / 2.4) - 0.055) * 255 + 0.5) for x in rgb)

def level(value, highest, scale):
    x = value / highest if highest > 0 else 0
    t = {"linear": x, "sqrt": math.sqrt(x), "log": max(0, 1 + math.log10(x) / 4) if x > 0 else 0}[scale]
    return min(255, math.floor(255 * t + 0.5))

def faded(color, background):
    return tuple((c + 3 * b + 2) // 4 for c, b in zip(color, background))

NO_NUMBER = (128, 128, 128)

def cell_colors(rows, scale="linear", per_row=False, exponent=0, special_rows=(), special_columns=(), background=None):
    """The colours of a head's cells, [row][column]; None for what is no number. With a background special tokens are faded
    and do not count for the highest value."""
    known = [[shown_value(x, exponent) for x in row] for row in rows]
    fades = lambda i, j: background is not None and (i in special_rows or j in special_columns)
    def highest(some):
        return max((known[i][j] for i in some for j in range(len(known[i])) if known[i][j] == known[i][j] and not fades(i, j)),
                   default=0)
    whole, result = highest(range(len(known))), []
    for i, row in enumerate(known):
        top = highest([i]) if per_row else whole
        colors = [None if v != v else color(level(v, top, scale) / 255) for v in row]
        result.append([faded(c or NO_NUMBER, background) if fades(i, j) else c for j, c in enumerate(colors)])
    return result

def single(x):
    """The float32 nearest to x."""
    return struct.unpack("<f", struct.pack("<f", x))[0]

def write_npy(path, shape, numbers, kind="<f4"):
    text = "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }" % (kind, "".join("%d, " % n for n in shape))
    text += " " * ((-len(text) - 11) % 64) + "\n"
    letter = {"f2": "e", "f4": "f", "f8": "d"}[kind[1:]]
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode())
        file.write(struct.pack("%s%d%s" % (kind[0], len(numbers), letter), *numbers))

def softmax_rows(rows, columns, score):
    result = []
    for i in range(rows):
        e = [math.exp(score(i, j)) for j in range(columns)]
        result.append([single(x / sum(e)) for x in e])
    return result
