"""What the page's own policy stops, should markup ever slip in: nothing else runs, nothing is fetched."""

import base64
import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.worlds.pages import planted, write

pytestmark = pytest.mark.browser

HOSTILE = "</script><script>window.ran = true</script><img src=x onerror='window.ran = true'>"


@pytest.fixture
def outside():
    """A server that is somebody else's, and what it was asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.end_headers()

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def sha256(text):
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_policy_allows_the_pages_own_script_and_style_and_nothing_else(atlas):
    html = atlas.read_text()
    [policy] = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', html)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    [script] = re.findall(r'<script type="module">(.*?)</script>', html, re.DOTALL)
    [style] = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    assert rules == {
        "default-src": "'none'", "script-src": sha256(script), "style-src": sha256(style),
        "img-src": "data:", "base-uri": "'none'", "form-action": "'none'",
    }  # fmt: skip
    # Before anything that it is to stop; what else is called script holds data, which no browser runs.
    assert html.index("Content-Security-Policy") < min(html.index("<script"), html.index("<style"))
    kinds = re.findall(r"<script([^>]*)>", html)
    assert sorted(kinds) == [
        ' type="application/json" id="atlas-data"',
        ' type="module"',
        ' type="text/plain" id="atlas-history"',
    ]


def test_names_that_are_markup_stay_names(opened, tmp_path):
    page = opened(write(planted(names={0: HOSTILE}), tmp_path))
    assert page.evaluate("window.ran") is None
    page.locator("#search").fill(HOSTILE[:20])
    page.locator("#suggestions [role=option]").first.click()
    assert page.locator("#panel h2").text_content() == HOSTILE
    assert page.evaluate("window.ran") is None


def test_injected_scripts_handlers_and_styles_do_nothing(opened, atlas, outside):
    url, asked = outside
    page = opened(atlas)
    page.evaluate(
        """url => {
          window.stopped = [];
          addEventListener("securitypolicyviolation", event => stopped.push(event.effectiveDirective));
          const add = (tag, set) => document.body.append(Object.assign(document.createElement(tag), set));
          add("script", { textContent: "window.ran = true" });
          add("script", { src: url + "/script.js" });
          add("style", { textContent: "body { background: red }" });
          add("link", { rel: "stylesheet", href: url + "/style.css" });
          add("img", { src: url + "/image.png" });
          add("iframe", { src: url + "/frame" });
          const markup = "<svg onload='window.ran = true'><b onclick='ran = true'></b></svg>";
          document.body.insertAdjacentHTML("beforeend", markup);
          document.querySelector("b")?.click();
          const form = document.createElement("form");
          Object.assign(form, { action: url + "/form", method: "post" });
          document.body.append(form);
          form.submit();
          fetch(url + "/fetch").catch(() => {});
          navigator.sendBeacon(url + "/beacon", "x");
          try { new WebSocket(url.replace("http", "ws") + "/socket"); } catch {}
          try { new Worker("data:text/javascript,0"); } catch {}
        }""",
        url,
    )
    # The debugger's own evaluation is exempt, so eval is tried from within a timer's text: the same right.
    page.evaluate("setTimeout('window.ran = true', 0)")
    page.wait_for_function(
        """() => ["script-src-elem", "style-src-elem", "img-src", "frame-src", "connect-src", "form-action",
                  "script-src-attr"].every(one => stopped.includes(one))"""
    )
    page.wait_for_timeout(300)
    assert page.evaluate("window.ran") is None
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 0, 0)"
    assert asked == []
    # They were said on the console, as they should be; nothing else was.
    said, page.seen.complaints[:] = list(page.seen.complaints), []
    assert said
    assert [
        one for one in said if not re.search("Content Security Policy|ERR_BLOCKED_BY_CSP|Worker", one)
    ] == []
