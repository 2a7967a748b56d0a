# SPDX-License-Identifier: Apache-2.0
# What the pictures of attend view show, read back: the cells of an SVG, a PNG and a terminal.
import base64, re, struct, zlib
import xml.etree.ElementTree as xml

SVG = "{http://www.w3.org/2000/svg}"

def read_png(data):
    """Rows of (r, g, b). RFC 2083; 8 bits of RGB without interlacing, as attend writes it."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n", "no PNG"
    at, packed, header, ended = 8, b"", None, False
    while at < len(data):
        length, = struct.unpack(">I", data[at:at + 4])
        kind, body = data[at + 4:at + 8], data[at + 8:at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length:at + 12 + length])[0] == zlib.crc32(kind + body), "wrong CRC"
        if kind == b"IHDR":
            header = struct.unpack(">IIBBBBB", body)
        if kind == b"IDAT":
            packed += body
        ended = kind == b"IEND"
        at += 12 + length
    width, height, *form = header
    assert ended and form == [8, 2, 0, 0, 0], header
    raw, stride, rows = zlib.decompress(packed), 3 * width, []
    before = bytearray(stride)
    for y in range(height):
        kind, line = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        for x in range(stride):
            left, up, corner = (line[x - 3], before[x], before[x - 3]) if x >= 3 else (0, before[x], 0)
            if kind == 4:
                p = left + up - corner
                near = min((abs(p - left), 0, left), (abs(p - up), 1, up), (abs(p - corner), 2, corner))[2]
            else:
                near = (0, left, up, (left + up) // 2)[kind]
            line[x] = (line[x] + near) & 255
        rows.append([tuple(line[3 * x:3 * x + 3]) for x in range(width)])
        before = line
    return rows

MARGIN, USUAL, MOST_SCALE, BAR = 8, 1024, 24, 12

def png_cells(path, rows, columns):
    """The colour of each cell, None for a hatched one; checks that a cell has one colour, and the bar's place."""
    pixels = read_png(open(path, "rb").read())
    scale = min(max(USUAL // max(rows, columns), 1), MOST_SCALE)
    assert len(pixels) == 3 * MARGIN + rows * scale + BAR and len(pixels[0]) == max(columns * scale, 256) + 2 * MARGIN
    result = []
    for i in range(rows):
        line = []
        for j in range(columns):
            cell = {pixels[MARGIN + i * scale + y][MARGIN + j * scale + x] for y in range(scale) for x in range(scale)}
            assert len(cell) == 1 or (len(cell) == 2 and (224, 224, 224) in cell), cell
            line.append(None if len(cell) == 2 else cell.pop())
        result.append(line)
    bar = pixels[2 * MARGIN + rows * scale][MARGIN:MARGIN + 256]
    return result, bar

def hex_color(text):
    return tuple(int(text[i:i + 2], 16) for i in (1, 3, 5))

def svg_cells(path, rows, columns):
    """Colours and tooltips of the cells, by their places."""
    root = xml.parse(path).getroot()
    found = [r for r in root.iter(SVG + "rect") if r.find(SVG + "title") is not None]
    assert len(found) == rows * columns, len(found)
    left, top = (min(float(r.get(a)) for r in found) for a in "xy")
    colors, texts = [[None] * columns for _ in range(rows)], [[None] * columns for _ in range(rows)]
    for r in found:
        size = float(r.get("width"))
        i, j = round((float(r.get("y")) - top) / size), round((float(r.get("x")) - left) / size)
        assert colors[i][j] is None
        colors[i][j], texts[i][j] = hex_color(r.get("fill")), r.find(SVG + "title").text
    return colors, texts, [t.text for t in root.iter(SVG + "text")]

def svg_embedded(path):
    image, = xml.parse(path).getroot().iter(SVG + "image")
    kind, text = image.get("{http://www.w3.org/1999/xlink}href").split(",", 1)
    assert kind == "data:image/png;base64"
    return read_png(base64.b64decode(text, validate=True))

CELL = re.compile("\x1b\\[48;2;(\\d+);(\\d+);(\\d+)m([ ?]+)")

def terminal_cells(text, rows, columns):
    """The colours of the cells of 24-bit output, None for '?'; the lines of the map begin with a number."""
    lines = [line for line in text.splitlines() if CELL.search(line)][:rows]
    result = []
    for line in lines:
        cells = [(tuple(map(int, m.group(1, 2, 3))), m.group(4)) for m in CELL.finditer(line)]
        assert len(cells) == columns and len({len(c[1]) for c in cells}) == 1, line
        assert line.endswith("\x1b[0m"), line
        result.append([None if "?" in c[1] else c[0] for c in cells])
    return result
