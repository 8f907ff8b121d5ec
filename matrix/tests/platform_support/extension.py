#!/usr/bin/env python3
"""A fake extension that does what the variable SCRIPT says, one word after the other.

Telemetry that it receives is written to the file TELEMETRY, one JSON event per line; answers of the platform are printed.
"""

import http.client
import http.server
import json
import os
import signal
import socket
import sys
import threading
import time

HOST = os.environ["AWS_LAMBDA_RUNTIME_API"]
NAME = os.path.basename(sys.argv[0])
STATE = {"id": "none", "statuses": [], "invocations": 0}
# The types of the telemetry events that have been written to the file.
HEARD = []
ARRIVED = threading.Condition()
# Longer than the platform lets anybody wait.
PATIENCE = 60


def call(method, path, body=None, headers=None):
    connection = http.client.HTTPConnection(HOST)
    headers = {"Lambda-Extension-Identifier": STATE["id"], **(headers or {})}
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    text = response.read().decode()
    return response, text


def say(what, response, text):
    print(json.dumps({"call": what, "status": response.status, "body": text}), flush=True)


def register(name=NAME, events="INVOKE,SHUTDOWN", body=None):
    wanted = [event for event in events.split(",") if event]
    headers = {"Lambda-Extension-Name": name, "Lambda-Extension-Accept-Feature": os.environ.get("FEATURES", "")}
    response, text = call("POST", "/2020-01-01/extension/register", body or json.dumps({"events": wanted}), headers)
    STATE["id"] = response.headers.get("Lambda-Extension-Identifier", STATE["id"])
    say("register", response, text)


def keep(text):
    """Writes a batch to the file, and only then counts its events as heard."""
    with open(os.environ["TELEMETRY"], "a", encoding="utf-8") as out:
        out.write(text + "\n")
    try:
        kinds = [event.get("type") for event in json.loads(text) if isinstance(event, dict)]
    except ValueError:
        kinds = []
    with ARRIVED:
        HEARD.extend(kinds)
        ARRIVED.notify_all()


def hear(kind, count=None):
    """Waits until so many events of a type have arrived; as many as there were invocations, if no number is given."""
    count = STATE["invocations"] if count is None else int(count)
    with ARRIVED:
        ARRIVED.wait_for(lambda: HEARD.count(kind) >= count, PATIENCE)


class Sink(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = STATE["statuses"].pop(0) if STATE["statuses"] else 200
        if status == 200:
            keep(body.decode())
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def listen():
    server = http.server.HTTPServer(("127.0.0.1", 8999), Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def listen_tcp():
    server = socket.create_server(("127.0.0.1", 8998))

    def run():
        connection, _ = server.accept()
        for line in connection.makefile():
            keep(f"[{line.strip()}]")

    threading.Thread(target=run, daemon=True).start()


def subscribe_tcp():
    body = {"schemaVersion": "2022-07-01", "types": ["platform"], "buffering": {"timeoutMs": 25},
            "destination": {"protocol": "TCP", "port": 8998}}
    say("subscribe", *call("PUT", "/2022-07-01/telemetry", json.dumps(body)))


def subscribe(version="2022-12-13", timeout="25", items="1000"):
    body = {
        "schemaVersion": version,
        "types": ["platform", "function", "extension"] if NAME != "quiet" else ["platform", "function"],
        "buffering": {"maxItems": int(items), "maxBytes": 262144, "timeoutMs": int(timeout)},
        "destination": {"protocol": "HTTP", "URI": "http://sandbox:8999/"},
    }
    response, text = call("PUT", "/2022-07-01/telemetry", json.dumps(body))
    say("subscribe", response, text)


def next_event():
    response, text = call("GET", "/2020-01-01/extension/event/next")
    if response.status != 200:
        say("next", response, text)
        return None
    event = json.loads(text)
    print(json.dumps({"event": event}), flush=True)
    return event["eventType"]


def loop(work="0"):
    """Works at each event for so many seconds, or until an event of this type has arrived for it."""
    while next_event() == "INVOKE":
        STATE["invocations"] += 1
        if work.startswith("platform."):
            hear(work)
        else:
            time.sleep(float(work))


def error(kind):
    headers = {"Lambda-Extension-Function-Error-Type": "Extension.Mine"}
    say("error", *call("POST", f"/2020-01-01/extension/{kind}/error", "{}", headers))


def twice():
    threading.Thread(target=next_event, daemon=True).start()
    time.sleep(0.3)
    say("second next", *call("GET", "/2020-01-01/extension/event/next"))


def tick():
    def run():
        while True:
            with open(os.environ["TICKS"], "a", encoding="utf-8") as out:
                out.write(".")
            time.sleep(0.01)

    threading.Thread(target=run, daemon=True).start()


def child():
    pid = os.fork()
    if pid == 0:
        time.sleep(600)
    print(json.dumps({"child": pid}), flush=True)


def daemon():
    """Starts a process that leaves its session and its parent, owns a port, and ticks."""
    told, tell = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            try:
                server = socket.create_server(("127.0.0.1", 8126))
                os.write(tell, b"bound")
            except OSError as error:
                os.write(tell, error.strerror.encode())
            tick()
            time.sleep(600)
        os._exit(0)
    os.wait()
    print(json.dumps({"daemon": os.read(told, 100).decode()}), flush=True)


def unknown():
    say("unknown", *call("GET", "/2020-01-01/extension/event/next", headers={
        "Lambda-Extension-Identifier": "00000000-0000-4000-8000-000000000000"}))


COMMANDS = {
    "register": register,
    "listen": listen,
    "subscribe": subscribe,
    "listen_tcp": listen_tcp,
    "subscribe_tcp": subscribe_tcp,
    "next": next_event,
    "loop": loop,
    "hear": hear,
    "error": error,
    "twice": twice,
    "tick": tick,
    "child": child,
    "daemon": daemon,
    "unknown": unknown,
    "sleep": lambda seconds: time.sleep(float(seconds)),
    "exit": lambda code: os._exit(int(code)),
    "print": lambda text: print(text, flush=True),
    "environment": lambda: print(json.dumps({"environment": dict(os.environ), "argv0": sys.argv[0]}), flush=True),
    "answers": lambda *codes: STATE["statuses"].extend(int(code) for code in codes),
    "stubborn": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
}

for word in os.environ["SCRIPT"].split():
    name, *arguments = word.split(":")
    COMMANDS[name](*arguments)
