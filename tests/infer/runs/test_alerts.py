"""Where alarms go: to a command's arguments, or to an address on this machine and no other."""

import contextlib
import json
import re
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from rbinfer.errors import InputError
from rbinfer.runs.alerts import alerts_to

ALARM = {
    "cause": "focus",
    "message": "wide; $(rm x) 'a'",
    "images": ["a.fits", "b c.fits"],
    "figures": {},
}


@contextlib.contextmanager
def listening(answer):
    """A server that keeps what is posted to it; ``answer`` gives the code and headers."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            length = int(self.headers["Content-Length"])
            got.append((self.path, self.headers["Content-Type"], json.loads(self.rfile.read(length))))
            code, headers = answer
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *given):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_command_has_each_as_one_argument(tmp_path):
    out = tmp_path / "told.json"
    code = f"import json, sys; json.dump(sys.argv[1:], open({str(out)!r}, 'w'))"
    with alerts_to(f'{sys.executable} -c "{code}" {{cause}} {{message}} {{image}}') as alerts:
        alerts.tell(ALARM)
    assert json.loads(out.read_text()) == ["focus", ALARM["message"], "b c.fits"]
    assert alerts.n_failed == 0


def test_an_address_gets_json_in_order():
    with listening((204, {})) as (url, got), alerts_to(f"{url}/alarm?x=1") as alerts:
        alerts.tell(ALARM)
        alerts.tell(ALARM | {"cause": "light"})
        alerts.__exit__(None)
        assert [(path, kind) for path, kind, _ in got] == [("/alarm?x=1", "application/json")] * 2
        assert [body["cause"] for *_, body in got] == ["focus", "light"]
        assert got[0][2] == ALARM
    assert alerts.n_failed == 0


def test_what_is_refused_or_leads_elsewhere_counts_as_failed(caplog):
    with (
        listening((302, {"Location": "http://192.0.2.1/"})) as (away, _),
        listening((500, {})) as (broken, _),
    ):
        for url in (away, broken):
            with alerts_to(url) as alerts:
                alerts.tell(ALARM)
            assert alerts.n_failed == 1
    with alerts_to(broken) as alerts:  # nobody listens any more
        alerts.tell(ALARM)
    assert alerts.n_failed == 1
    assert caplog.text.count("an alarm could not be posted") == 3


def test_proxies_of_the_environment_see_nothing(monkeypatch):
    with listening((200, {})) as (url, got), listening((200, {})) as (proxy, seen):
        monkeypatch.setenv("http_proxy", proxy)
        with alerts_to(url) as alerts:
            alerts.tell(ALARM)
        assert (len(got), len(seen)) == (1, 0)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/",
        "https://127.0.0.1/",
        "http://127.0.0.1.example.org:80/",
        "http://localhost@example.org/",
        "http://0.0.0.0:80/",
        "http:///x",
    ],
)
def test_addresses_of_other_machines_are_refused(url):
    with pytest.raises(InputError, match="to this machine alone"):
        alerts_to(url)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1:x/", "no address"),
        ("http://127.0.0.1:99999/", "no address"),
        ("http://[::1/", "no address"),
        ("http://127.0.0.1:80/a b", "http://127.0.0.1:80/a%20b"),
        ("http://127.0.0.1:80/\u00fc", "http://127.0.0.1:80/%C3%BC"),
        ("http://127.0.0.1:80/a\nb", "a%0Ab"),
    ],
)
def test_addresses_that_nothing_can_be_posted_to_are_refused(url, why):
    with pytest.raises(InputError, match=re.escape(why)):
        alerts_to(url)


def test_an_answer_that_is_no_http_counts_as_failed(caplog):
    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            self.request.recv(65536)
            self.wfile.write(b"what?\r\n\r\n")

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with alerts_to(f"http://127.0.0.1:{server.server_address[1]}/") as alerts:
            alerts.tell(ALARM)
        thread.join()
    assert alerts.n_failed == 1
    assert "an alarm could not be posted" in caplog.text
    assert '"cause": "focus"' in caplog.text


def test_what_waits_when_the_watch_is_ended_is_named(caplog):
    got, release = threading.Event(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got.set()
            release.wait(30)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *given):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        alerts = alerts_to(f"http://127.0.0.1:{server.server_address[1]}/")
        alerts.tell(ALARM)
        alerts.tell(ALARM | {"cause": "light"})
        assert got.wait(30)
        threading.Timer(0.3, release.set).start()
        alerts.__exit__(KeyboardInterrupt)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert caplog.text.count("not posted, since the watch ended") == 1
    assert '"cause": "light"' in caplog.text


def test_other_braces_are_refused():
    with pytest.raises(
        InputError, match=r"\{result\} .* is neither \{cause\} nor \{message\} nor \{image\}"
    ):
        alerts_to("echo {result}")
