// SPDX-License-Identifier: Apache-2.0
//
// Making elements. Tokens and texts come from anywhere, so they only ever become text, each isolated from the
// direction of what stands beside it.
function element(name, className, text) {
    const e = document.createElement(name);
    if (className) e.className = className;
    if (text !== undefined) e.textContent = text;
    return e;
}

function byId(id) {
    return document.getElementById(id);
}

// A token as it is shown anywhere; blanks alone would be nothing to see.
function visibleToken(text) {
    return text === "" ? "(empty)" : text.replace(/^\s+|\s+$/g, (blanks) => "␣".repeat(blanks.length));
}

function tokenElement(name, tokens, index) {
    const e = element(name, tokens.special[index] ? "token special" : "token", visibleToken(tokens.tokens[index]));
    e.dir = "auto";
    e.title = tokens.tokens[index] + " (token " + tokens.numbers[index] + ")";
    return e;
}

// "it" -> "animal" as elements, so that no direction spills over.
function pairElements(row, column) {
    return [tokenElement("bdi", rowTokens, row), document.createTextNode(" → "), tokenElement("bdi", columnTokens, column)];
}

function option(value, text) {
    const e = element("option", "", text);
    e.value = value;
    return e;
}
