# SPDX-License-Identifier: Apache-2.0
# What every picture of some weights must show, computed a second time: digits by exact decimals, colours from the
# definition of OKLCH (B. Ottosson 2020). Also a writer of .npy files, so that tests need no NumPy.
import decimal, math, struct

def digits(x):
    """weight_code.h: four decimal digits, a half goes up."""
    if x != x:
        return "NaN"
    if x == 0:
        return "0"
    with decimal.localcontext(decimal.Context(prec=4, rounding=decimal.ROUND_HALF_UP)):
        d = +decimal.Decimal(x)
    if d < decimal.Decimal("1e-7"):
        return "<1e-07"
    if d == 1:
        return "1"
    exponent = d.adjusted()
    mantissa = d.scaleb(-exponent).quantize(decimal.Decimal("0.001"))
    if exponent < -4:
        return "%se-%02d" % (mantissa, -exponent)
    return str(d.quantize(decimal.Decimal(1).scaleb(exponent - 3)))

def shown_value(x):
    text = digits(x)
    return 0.0 if text.startswith("<") else float(text)

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

def cell_colors(rows, scale="linear", per_row=False):
    """The colours of a head's cells, [row][column]; None for what is no number."""
    known = [[shown_value(x) for x in row] for row in rows]
    whole = max((v for row in known for v in row if v == v), default=0)
    result = []
    for row in known:
        highest = max((v for v in row if v == v), default=0) if per_row else whole
        result.append([None if v != v else color(level(v, highest, scale) / 255) for v in row])
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
