"""Opens a page of the fleet report in a headless browser. Needs playwright, and Chromium of the distribution."""

import contextlib
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from playwright.sync_api import sync_playwright

HERE = pathlib.Path(__file__).resolve().parent
REPORT = HERE.parent.parent / "packaging" / "fleet" / "report"
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE), str(REPORT)]

# The values of each table: for each row, the label and the value of each cell.
TABLES = """() => Object.fromEntries([...document.querySelectorAll('main > section')]
  .filter(s => s.querySelector('table:not(.heat)'))
  .map(s => [s.id, [...s.querySelectorAll('tbody tr')].map(row => [...row.querySelectorAll('.v')].map(v => {
    const e = v.lastElementChild;
    const value = e.getAttribute('value') || e.getAttribute('datetime') || e.textContent;
    return [v.querySelector('.k').textContent, e.localName, value];
  }))]))"""

# Each text with its contrast to the nearest background that is not transparent.
CONTRAST = """() => {
  const parse = color => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const found = [];
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || !e.getClientRects().length) continue;
    let back = e, colour = [0, 0, 0, 0];
    for (; back && !(colour.length === 3 || colour[3]); back = back.parentElement) {
      colour = parse(getComputedStyle(back).backgroundColor);
    }
    if (!back && colour.length === 4 && !colour[3]) colour = [255, 255, 255];
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(colour)].sort((x, y) => y - x);
    found.push([(a + .05) / (b + .05), e.localName + '.' + e.className + ': ' + e.textContent.slice(0, 40)]);
  }
  return found;
}"""

# The sections with cards that are wider than the screen.
SCROLLING = """() => [...document.querySelectorAll('.cards')]
  .filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.parentElement.id)"""

# Each element with its class and the names of its attributes.
COUNTS = """() => [...document.querySelectorAll('*')].map(e => e.localName + '.' + (e.getAttribute('class') || '') + ' '
  + e.getAttributeNames().filter(n => n !== 'class').join())"""


def run(document, *arguments, **environment):
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return subprocess.run(
        [sys.executable, str(REPORT / "page"), *arguments],
        input=data,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
        check=False,
    )


def made(document, *arguments):
    done = run(document, *arguments)
    if done.returncode:
        raise AssertionError(done.stderr.decode())
    return done.stdout


def result(document, name):
    return next(given for given in document["results"] if given["name"] == name)


class Browser(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        assert program, "no Chromium on this machine: install the package chromium"
        stack = contextlib.ExitStack()
        cls.addClassCleanup(stack.close)
        cls.folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="page-")))
        playwright = stack.enter_context(sync_playwright())
        cls.browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        stack.callback(cls.browser.close)
        cls.numbers = itertools.count()

    def open(self, document, *arguments, width=1280, scheme="light", url=None):
        """A tab with the page of this document. The test fails if the page loads or logs anything."""
        if url is None:
            file = self.folder / f"{next(self.numbers)}.html"
            file.write_bytes(made(document, *arguments))
            url = file.as_uri()
        context = self.browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        self.addCleanup(context.close)
        tab, noise = context.new_page(), []
        tab.on("console", lambda message: noise.append(f"console: {message.text}"))
        tab.on("pageerror", lambda error: noise.append(f"error: {error}"))
        tab.on("dialog", lambda dialog: noise.append(f"dialog: {dialog.message}"))
        tab.on("request", lambda request: noise.append(request.url))
        tab.goto(url)
        self.assertEqual(noise, [url], "the page loads or logs something")
        noise.clear()
        self.addCleanup(lambda: self.assertEqual(noise, [], "the page loads or logs something later"))
        return tab

    def text(self, tab, selector):
        return " ".join(tab.locator(selector).text_content().split())
