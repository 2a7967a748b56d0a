// SPDX-License-Identifier: Apache-2.0
//
// How weights become colours: the same steps as weight_scale.c, so that every picture has the same colour in a cell.
const palette = new Uint8Array(256 * 3);
for (let i = 0; i < palette.length; i++) palette[i] = parseInt(data.palette.substr(2 * i, 2), 16);
const NO_NUMBER = [128, 128, 128];

function fractionOf(value, highest) {
    const x = highest > 0 ? value / highest : 0;
    if (state.scale === "sqrt") return Math.sqrt(x);
    if (state.scale === "log") return x > 0 ? Math.max(0, 1 + Math.log10(x) / 4) : 0;
    return x;
}

function levelOf(value, highest) {
    return Math.min(255, Math.floor(255 * fractionOf(value, highest) + 0.5));
}

function colorOf(level) {
    return "rgb(" + palette[3 * level] + " " + palette[3 * level + 1] + " " + palette[3 * level + 2] + ")";
}

// The largest value of a row over the shown cells that are not faded.
function highestOfRow(codes, row) {
    let highest = 0;
    const start = row * columnCount;
    if (isFaded(rowTokens, row)) return 0;
    for (const column of shown.columns) {
        const value = values[codes[start + column]];
        if (value > highest && !isFaded(columnTokens, column)) highest = value; // NaN is never larger
    }
    return highest;
}

const measured = new WeakMap(); // codes of a head -> what was found last: pointing at cells must not count them all again

function highestOf(codes) {
    const look = state.special + " " + state.texts, known = measured.get(codes);
    if (known && known.look === look) return known.highest;
    let highest = 0;
    for (const row of shown.rows) highest = Math.max(highest, highestOfRow(codes, row));
    measured.set(codes, {look: look, highest: highest});
    return highest;
}

// What colours of the head's rows are measured by: a function of the row.
function highestByRow(codes) {
    if (state.rows === "head") {
        const highest = highestOf(codes);
        return () => highest;
    }
    const known = new Map();
    return (row) => {
        if (!known.has(row)) known.set(row, highestOfRow(codes, row));
        return known.get(row);
    };
}

function backColor() {
    const text = getComputedStyle(document.documentElement).getPropertyValue("--back").trim();
    return [1, 3, 5].map((at) => parseInt(text.substr(at, 2), 16));
}

// Red, green and blue of a cell into pixels[to..]; faded cells are mixed with the page.
function paint(pixels, to, code, highest, back) {
    const value = values[code], level = value === value ? 3 * levelOf(value, highest) : -1;
    for (let i = 0; i < 3; i++) {
        const color = level < 0 ? NO_NUMBER[i] : palette[level + i];
        pixels[to + i] = back ? Math.floor((color + 3 * back[i] + 2) / 4) : color;
    }
    pixels[to + 3] = 255;
}

function drawLegend() {
    const codes = codesOf(state.layer, state.head), legend = document.getElementById("legend");
    const highest = state.rows === "own" ? 0 : highestOf(codes);
    const ramp = element("div", "ramp"), marks = element("div", "marks");
    const stops = [];
    for (let i = 0; i < 256; i += 15) stops.push(colorOf(i));
    ramp.style.background = "linear-gradient(to right, " + (state.view === "lines" ? "transparent, var(--link)" : stops.join(",")) + ")";
    const at = [0, 0.5, 1];
    const share = {linear: (t) => t, sqrt: (t) => t * t, log: (t) => 10 ** (4 * (t - 1))}[state.scale];
    for (const t of at) {
        const mark = element("span", "", state.rows === "own"
            ? (t === 0 && state.scale === "log" ? "≤ " : "") + +(100 * share(t)).toPrecision(3) + " %"
            : (t === 0 && state.scale === "log" ? "≤ " : "") + plainNumber(highest * share(t) * 10 ** data.exponent));
        mark.style.left = 100 * t + "%";
        marks.append(mark);
    }
    legend.replaceChildren(ramp, marks, element("div", "", legendText(codes)));
}

function plainNumber(x) {
    return x === 0 ? "0" : x >= 0.001 && x < 10000 ? String(+x.toPrecision(3)) : x.toExponential(1);
}

function legendText(codes) {
    const parts = [{linear: "linear scale", sqrt: "square-root scale", log: "logarithmic scale over four decades"}[state.scale]];
    parts.push(state.rows === "own" ? "each row by its own highest weight" : "up to the head's highest weight");
    if (rowTokens.special.some(Boolean) || columnTokens.special.some(Boolean)) {
        if (state.special === "fade") parts.push("special tokens are faded and do not count for the highest");
        if (state.special === "hide") parts.push("special tokens are left out, so that rows add up to less than one");
    }
    if (data.two_texts && state.texts !== "all")
        parts.push("only text " + state.texts[0].toUpperCase() + " to text " + state.texts[1].toUpperCase());
    if (codes.includes(CODE_NAN)) parts.push("grey: not a number");
    return parts.join("; ") + ".";
}
