# SPDX-License-Identifier: Apache-2.0
"""plot_check.py RESULTS.json PICTURE.svg: the picture is XML by itself and shows each result once, its bar as long as its rate (its time, if it has none).
plot_check.py FOLDER: the same for what test_plot left there."""
import glob
import json
import re
import sys
import xml.etree.ElementTree as tree

SVG = '{http://www.w3.org/2000/svg}'
SHOWN = re.compile('[\x00-\x1f]')  # control characters are escapes


def shown(text):
    return SHOWN.sub(lambda match: '\\x%02x' % ord(match[0]), text)


def lengths_fit(bars):
    """The bars of one scale: lengths in the ratio of the rates, to the tenth of a pixel that is written."""
    longest, length = max(bars)
    return all(abs(width - rate / longest * length) < 0.2 for rate, width in bars)


def check(results_path, picture_path):
    with open(results_path, encoding='utf-8') as file:
        results = json.load(file)['results']
    root = tree.parse(picture_path).getroot()
    texts = [''.join(text.itertext()) for kind in ('text', 'tspan') for text in root.iter(SVG + kind)]
    marks = [group for group in root.iter(SVG + 'g') if group.get('class', '').startswith('result ')]
    good = [result for result in results if result['ok']]
    faults = []

    def expect(condition, text):
        if not condition:
            faults.append(f'{picture_path}: {text}')

    expect(root.tag == SVG + 'svg' and len(root.get('viewBox').split()) == 4, 'no viewBox')
    expect(not [e.tag for e in root.iter() if e.tag in (SVG + 'script', SVG + 'image', SVG + 'use')], 'not by itself')
    expect(len(marks) == len(good), f'{len(marks)} bars for {len(good)} results')
    expect(texts.count('FAIL') == len(results) - len(good), f'{texts.count("FAIL")} times FAIL')
    for name in {result['case'] for result in results}:
        expect(shown(name) in texts, f'{name!r} is missing')
    if not results:
        expect(any('nothing was measured' in text for text in texts), 'says nothing of the lack of results')

    scales = {'gflops': [], 'gbps': [], 'median_s': []}
    for result in good:
        start = '%s, %s, %s %s, %d thread' % tuple(shown(str(result[key])) if key != 'threads' else result[key]
                                                   for key in ('case', 'dtype', 'backend', 'device', 'threads'))
        own = [mark for mark in marks if mark.find(SVG + 'title').text.startswith(start)]
        expect(len(own) == 1, f'{len(own)} bars say {start!r}')
        key = 'gflops' if result['flops'] else 'gbps' if result['bytes'] else 'median_s'
        if own:
            scales[key].append((result[key], float(own[0].find(SVG + 'rect').get('width'))))
    for key, bars in scales.items():
        expect(not bars or lengths_fit(bars), f'bars of {key} are not as long as their rates')
    return faults


def main(arguments):
    pairs = [arguments] if len(arguments) == 2 else [(path[:-4] + '.json', path)
                                                     for path in sorted(glob.glob(arguments[0] + '/plot-*.svg'))]
    faults = [fault for pair in pairs for fault in check(*pair)]
    print('\n'.join(faults) or f'{len(pairs)} pictures show what was measured')
    return 1 if faults or not pairs else 0


sys.exit(main(sys.argv[1:]))
