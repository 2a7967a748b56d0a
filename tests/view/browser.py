# SPDX-License-Identifier: Apache-2.0
# A headless Chromium by its own driver (WebDriver over HTTP, W3C), with the standard library alone. The browser has no
# network: every name and address but the file's resolves to nothing, and what it asked for is in its log.
import base64, http.client, json, pathlib, shutil, socket, subprocess, time

class Browser:
    def __init__(self, width=1400, height=1000, dark=False):
        self.driver = self.session = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.driver = subprocess.Popen([shutil.which("chromedriver"), "--port=%d" % self.port],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
                     "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND", "--force-device-scale-factor=1",
                     "--window-size=%d,%d" % (width, height)]
        if dark:
            arguments.append("--force-dark-mode")
        wish = {"browserName": "chrome", "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
                "goog:chromeOptions": {"args": arguments}}
        for _ in range(100):
            try:
                answer = self.call("POST", "/session", {"capabilities": {"alwaysMatch": wish}})
                break
            except (ConnectionError, OSError):
                time.sleep(0.1)
        self.session = "/session/" + answer["sessionId"]

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
        value = json.loads(connection.getresponse().read())["value"]
        if isinstance(value, dict) and "error" in value:
            raise RuntimeError(path + ": " + value["message"].splitlines()[0])
        return value

    def open(self, path, fragment=""):
        """Opens the file and waits until the page says that it is drawn; returns the seconds that took."""
        self.call("POST", self.session + "/url", {"url": "about:blank"}) # so that a fragment alone loads anew
        start = time.monotonic()
        self.call("POST", self.session + "/url", {"url": pathlib.Path(path).resolve().as_uri() + fragment})
        self.wait("return document.documentElement.dataset.ready === 'true'")
        return time.monotonic() - start

    def wait(self, script, seconds=30):
        end = time.monotonic() + seconds
        while not self.run(script):
            if time.monotonic() > end:
                raise RuntimeError("never true: " + script)
            time.sleep(0.02)

    def run(self, script, *arguments):
        return self.call("POST", self.session + "/execute/sync", {"script": script, "args": list(arguments)})

    def pointer(self, x, y, click=False):
        moves = [{"type": "pointerMove", "duration": 0, "x": int(x), "y": int(y)}]
        if click:
            moves += [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        self.call("POST", self.session + "/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": moves}]})

    def keys(self, text):
        steps = [step for c in text for step in ({"type": "keyDown", "value": c}, {"type": "keyUp", "value": c})]
        self.call("POST", self.session + "/actions", {"actions": [{"type": "key", "id": "keys", "actions": steps}]})

    def emulate(self, **media):
        """media: medium="print" or a feature such as prefers_color_scheme="dark"."""
        features = [{"name": k.replace("_", "-"), "value": v} for k, v in media.items() if k != "medium"]
        self.call("POST", self.session + "/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia",
                  "params": {"media": media.get("medium", ""), "features": features}})

    def screenshot(self, path):
        pathlib.Path(path).write_bytes(base64.b64decode(self.call("GET", self.session + "/screenshot")))

    def complaints(self):
        return [e["message"] for e in self.call("POST", self.session + "/se/log", {"type": "browser"})]

    def requests(self):
        """Addresses that the page asked for since the last call."""
        found = []
        for entry in self.call("POST", self.session + "/se/log", {"type": "performance"}):
            message = json.loads(entry["message"])["message"]
            if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated"):
                found.append(message["params"].get("request", message["params"])["url"])
        return found

    def close(self):
        if self.session:
            self.call("DELETE", self.session)
        if self.driver:
            self.driver.terminate()
            self.driver.wait()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()
