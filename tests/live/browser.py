"""A real browser for tests of pages: Debian's Chromium, headless, offline; skipped where there is none."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.wait import WebDriverWait

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)

OVERLAPPING = """
const texts = [...arguments[0].querySelectorAll('text')].filter((text) => text.textContent.trim());
const boxes = texts.map((text) => [text.textContent, text.getBoundingClientRect()]).filter(([, box]) => box.width);
const found = [];
boxes.forEach(([one, a], at) => boxes.slice(at + 1).forEach(([other, b]) => {
  const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
  const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
  if (wide > 1 && high > 2) found.push(`${one} / ${other}`);
}));
return found;
"""
"""Pairs of texts of a figure that lie on each other by more than a pixel."""


@contextmanager
def started(profile: Path) -> Iterator[webdriver.Chrome]:
    """Start Chromium with a new profile; skips the test where it is not installed."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not browser or not driver:
        pytest.skip("no chromium and chromedriver on PATH (Debian: apt install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield chrome
    finally:
        chrome.quit()


def opened(chrome: webdriver.Chrome, page: Path, width: int, *, dark: bool = False) -> dict[str, Any]:
    """Open a page at a width, without a network; wait until its figures are drawn, and give what is seen of it."""
    chrome.execute_cdp_cmd("Network.enable", {})
    chrome.execute_cdp_cmd(
        "Network.emulateNetworkConditions",
        {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0},
    )
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    _resize(chrome, width)
    chrome.get(page.as_uri())
    WebDriverWait(chrome, 60).until(lambda shown: shown.execute_script("return document.body.dataset.drawn"))
    return _seen(chrome)


def seen_at(chrome: webdriver.Chrome, width: int) -> dict[str, Any]:
    """Give the page another width, as if the phone was turned; wait until all figures have it."""
    _resize(chrome, width)
    fits = "return [...document.querySelectorAll('.figure')].every((one) => one.clientWidth === one.layout?.width)"
    WebDriverWait(chrome, 60).until(lambda shown: shown.execute_script(fits))
    return _seen(chrome)


def _resize(chrome: webdriver.Chrome, width: int) -> None:
    chrome.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600},
    )


def _seen(chrome: webdriver.Chrome) -> dict[str, Any]:
    figures = chrome.find_elements("css selector", ".figure")
    logged = chrome.execute("getLog", {"type": "browser"})["value"]
    return {
        "console": [entry["message"] for entry in logged if entry["level"] == "SEVERE"],
        "figures": figures,
        "drawn": int(chrome.execute_script("return document.body.dataset.drawn")),
        "page_width": chrome.execute_script("return document.documentElement.scrollWidth"),
        "overlapping": [pair for figure in figures for pair in chrome.execute_script(OVERLAPPING, figure)],
    }
