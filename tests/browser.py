"""Headless Chromium by plain WebDriver calls, for tests of pages; nothing but the standard library.

Needs the programs ``chromium`` (or ``google-chrome``) and ``chromedriver`` on the path.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
MISSING = "" if CHROMIUM and DRIVER else "needs chromium and chromedriver on the path"
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


class Browser:
    """One window of a running Chromium."""

    def __init__(self, address, profile, width):
        self._address = address
        options = {"binary": CHROMIUM, "args": [*FLAGS, f"--user-data-dir={profile}"]}
        phone = {"deviceMetrics": {"width": width, "height": 844, "pixelRatio": 1, "touch": False}}
        options["mobileEmulation"] = phone
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        made = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._address += f"/session/{made['sessionId']}"

    def _call(self, method, path, content=None):
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(self._address + path, data, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, path):
        """Load a file."""
        self._call("POST", "/url", {"url": path.resolve().as_uri()})

    def run(self, script, *arguments):
        """Return what a function body in JavaScript returns."""
        return self._call("POST", "/execute/sync", {"script": script, "args": arguments})

    def log(self):
        """Return the lines of the console since the last call."""
        return self._call("POST", "/se/log", {"type": "browser"})

    def click(self, selector):
        """Click the first element of a CSS selector as a user does."""
        found = self._call("POST", "/element", {"using": "css selector", "value": selector})
        (name,) = found.values()
        self._call("POST", f"/element/{name}/click", {})

    def command(self, name, **arguments):
        """Return what a command of the DevTools protocol returns."""
        return self._call("POST", "/goog/cdp/execute", {"cmd": name, "params": arguments})

    def quit(self):
        """End the session."""
        self._call("DELETE", "")


@contextlib.contextmanager
def browser(profile, *, width=1280):
    """Inside the block there is a Chromium, ``width`` CSS pixels wide, with an own profile."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    driver = subprocess.Popen(
        [DRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                urllib.request.urlopen(f"{address}/status", timeout=5).close()
                break
            time.sleep(0.1)
        window = Browser(address, profile, width)
        try:
            yield window
        finally:
            window.quit()
    finally:
        driver.terminate()
        driver.wait(timeout=30)
