# SPDX-License-Identifier: Apache-2.0
"""Reads report.csv, report.jsonl and report.json that test_report left in a folder (the argument), with Python's readers:
all three hold the same numbers, digit for digit."""
import csv
import json
import sys

SHOWN = {'\n': '\\x0a', '\x1b': '\\x1b'}  # in csv, control characters are escapes


def text_of(value):
    return ''.join(SHOWN.get(c, c) for c in value)


def same(field, value):
    if value is None:
        return field == ''
    if isinstance(value, bool):
        return field == str(value).lower()
    if isinstance(value, list):
        return [float(x) for x in field.split(';') if x] == value
    if isinstance(value, dict):
        return json.loads(field) == value
    if isinstance(value, str):
        return field == text_of(value)
    return float(field) == value


def main(folder):
    with open(folder + '/report.json', encoding='ascii') as file:
        document = json.load(file)
    with open(folder + '/report.jsonl', encoding='ascii') as file:
        lines = [json.loads(line) for line in file]
    with open(folder + '/report.csv', encoding='utf-8', newline='') as file:
        table = list(csv.DictReader(file, strict=True))

    results = document.pop('results')
    faults = []
    if lines != [document] + results:
        faults.append('report.jsonl and report.json differ')
    if len(table) != len(results):
        faults.append(f'report.csv has {len(table)} rows for {len(results)} results')
    for i, (row, result) in enumerate(zip(table, results)):
        if set(row) != set(result):
            faults.append(f'row {i}: keys that only one has: {set(row) ^ set(result)}')
        faults += [f'row {i}: {key}: {row[key]!r} is not {value!r}'
                   for key, value in result.items() if key in row and not same(row[key], value)]
    if max(len(result['samples_s']) for result in results) < 3000:
        faults.append('no result has thousands of samples')
    print('\n'.join(faults) or f'{len(results)} results are the same in three formats')
    return 1 if faults else 0


sys.exit(main(sys.argv[1]))
