// SPDX-License-Identifier: Apache-2.0
//
// What the page shows: tokens, what is known of each head, and its weights, which are decoded where they are asked
// for. Codes are those of weight_code.h; three of them are six bytes, which are eight characters of base64.
const data = JSON.parse(document.getElementById("attend-data").textContent);
const rowTokens = data.rows;
const columnTokens = data.columns || data.rows;
const rowCount = rowTokens.tokens.length;
const columnCount = columnTokens.tokens.length;

const CODE_ONE = 63001, CODE_TINY = 63002, CODE_NAN = 65535;

const values = new Float64Array(65536);
for (let e = 0; e < 7; e++)
    for (let m = 1000; m < 10000; m++) values[1 + 9000 * e + m - 1000] = m / 10 ** (4 + e);
values[CODE_ONE] = 1;
values[CODE_NAN] = NaN;

function weightText(code) {
    if (code === CODE_NAN) return "NaN";
    if (code === 0) return "0";
    const k = data.exponent;
    if (code === CODE_TINY) return "<1e" + exponentText(k - 7);
    if (code === CODE_ONE) return k >= 0 && k <= 4 ? "1" + "0".repeat(k) : "1e" + exponentText(k);
    const e = Math.floor((code - 1) / 9000), digits = String(1000 + (code - 1) % 9000);
    const point = k - e;
    if (point < -3 || point > 4) return digits[0] + "." + digits.slice(1) + "e" + exponentText(point - 1);
    if (point <= 0) return "0." + "0".repeat(-point) + digits;
    return point === 4 ? digits : digits.slice(0, point) + "." + digits.slice(point);
}

function exponentText(e) {
    return (e < 0 ? "-" : "+") + String(Math.abs(e)).padStart(2, "0");
}

// ---- base64 ----

const sextets = new Uint8Array(128);
"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".split("").forEach((c, i) => {
    sextets[c.charCodeAt(0)] = i;
});

function stored(layer, head) {
    return document.getElementById("w" + layer + "-" + head).textContent;
}

// The three codes of eight characters from `at` on, into codes[to..].
function decodeThree(text, at, codes, to) {
    const high = sextets[text.charCodeAt(at)] << 18 | sextets[text.charCodeAt(at + 1)] << 12 |
        sextets[text.charCodeAt(at + 2)] << 6 | sextets[text.charCodeAt(at + 3)];
    const low = sextets[text.charCodeAt(at + 4)] << 18 | sextets[text.charCodeAt(at + 5)] << 12 |
        sextets[text.charCodeAt(at + 6)] << 6 | sextets[text.charCodeAt(at + 7)];
    codes[to] = high >> 16 | high & 0xff00;
    codes[to + 1] = high & 0xff | low >> 8 & 0xff00;
    codes[to + 2] = low >> 8 & 0xff | low << 8 & 0xff00;
}

// ---- heads that were decoded last ----

const MOST_KEPT = 64e6; // bytes
const kept = new Map();

function codesOf(layer, head) {
    const key = layer * data.heads.length + head;
    let codes = kept.get(key);
    if (codes) {
        kept.delete(key); // again behind all others
    } else {
        const text = stored(layer, head);
        codes = new Uint16Array(Math.ceil(rowCount * columnCount / 3) * 3);
        for (let i = 0; i < codes.length; i += 3) decodeThree(text, i / 3 * 8, codes, i);
        while (kept.size > 0 && (kept.size + 1) * codes.byteLength > MOST_KEPT) kept.delete(kept.keys().next().value);
    }
    kept.set(key, codes);
    return codes;
}

// One weight of any head, without decoding the others.
function codeAt(layer, head, row, column) {
    const codes = kept.get(layer * data.heads.length + head), index = row * columnCount + column;
    if (codes) return codes[index];
    const three = new Uint16Array(3);
    decodeThree(stored(layer, head), Math.floor(index / 3) * 8, three, 0);
    return three[index % 3];
}

function headName(head) {
    return data.combined ? data.combined + " of " + data.model_heads + " heads" : "head " + data.heads[head];
}

function headTitle(layer, head) {
    return "layer " + data.layers[layer] + ", " + headName(head);
}

function patternsOf(layer, head) {
    return data.patterns[layer * data.heads.length + head];
}
