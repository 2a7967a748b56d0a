# SPDX-License-Identifier: Apache-2.0
# page_pictures.py ATTEND MODEL: makes docs/view-light.png and docs/view-dark.png again, the page as a browser shows it.
import os, subprocess, sys, tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
from browser import Browser

attend, model = sys.argv[1], sys.argv[2]
docs = os.path.join(here, "..", "..", "docs")
SENTENCE = "The animal didn't cross the street because it was too tired"
with tempfile.TemporaryDirectory() as folder, Browser(1280, 1860) as browser:
    page = os.path.join(folder, "it.html")
    subprocess.run([attend, "view", "--model", model, "--focus", "it", "--out", page, SENTENCE], check=True)
    for theme, fragment in (("light", "layer=6&head=12&key=2"), ("dark", "layer=2&head=9&view=lines&scale=sqrt&measure=entropy&row=none")):
        browser.open(page, "#theme=%s&%s" % (theme, fragment))
        browser.wait("return document.documentElement.dataset.heads === 'drawn'")
        browser.screenshot(os.path.join(docs, "view-%s.png" % theme))
