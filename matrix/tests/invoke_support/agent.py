#!/usr/bin/env python3
"""A small extension that speaks Lambda's and Datadog's protocols, well or badly as AGENT_MODE says.

sound   sends every function line as a log and the number of invocations as a sketch
lossy   keeps the lines to itself
crash   ends at its first invocation
"""

import json
import os
import struct
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

MODE = os.environ.get("AGENT_MODE", "sound")
LAMBDA = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"]
INTAKE = os.environ["DD_DD_URL"]
events = []


class Telemetry(BaseHTTPRequestHandler):
    def do_POST(self):
        events.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def call(method, url, body=None, headers=None):
    data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers or {}, method=method)
    with urllib.request.urlopen(request) as answer:
        return answer.headers, json.loads(answer.read() or b"null")


def varint(value):
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number, content):
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    if isinstance(content, float):
        return varint(number << 3 | 1) + struct.pack("<d", content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def sketch(metric, count):
    """As many samples of the value 1, whose key is 1338, 2676 in zigzag."""
    numbers = [int(time.time()), count, 1.0, 1.0, 1.0, float(count), varint(2676), varint(count)]
    dogsketch = b"".join(field(number, value) for number, value in enumerate(numbers, 1))
    return field(1, field(1, metric.encode()) + field(4, b"env:test") + field(7, dogsketch))


def flush(invocations):
    key = {"DD-API-KEY": os.environ["DD_API_KEY"]}
    lines = [event["record"] for event in events if event["type"] == "function"]
    if MODE != "lossy" and lines:
        logs = [{"message": {"message": line.rstrip("\n"), "status": "info"}} for line in lines]
        call("POST", INTAKE + "/api/v2/logs", logs, key | {"Content-Type": "application/json", "DD-PROTOCOL": "agent-json"})
    body = sketch("aws.lambda.enhanced.invocations", invocations)
    call("POST", INTAKE + "/api/beta/sketches", body, key | {"Content-Type": "application/x-protobuf"})


def done():
    return sum(event["type"] == "platform.runtimeDone" for event in events)


def meet(place, number):
    """Tells the function that its response is over, and waits for what it does then: meanwhile the sandbox is not frozen."""
    deadline = time.monotonic() + 20
    while done() < number and time.monotonic() < deadline:
        time.sleep(0.005)
    open(f"{place}-done-{number}", "w").close()
    while not os.path.exists(f"{place}-printed-{number}") and time.monotonic() < deadline:
        time.sleep(0.005)


def main():
    server = HTTPServer(("", 0), Telemetry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    name = {"Lambda-Extension-Name": os.path.basename(sys.argv[0])}
    api = LAMBDA + "/2020-01-01/extension"
    headers, _ = call("POST", api + "/register", {"events": ["INVOKE", "SHUTDOWN"]}, name)
    me = {"Lambda-Extension-Identifier": headers["Lambda-Extension-Identifier"]}
    call("PUT", LAMBDA + "/2022-07-01/telemetry", {
        "schemaVersion": "2022-12-13",
        "types": ["platform", "function"],
        "buffering": {"maxItems": 1000, "maxBytes": 262144, "timeoutMs": 25},
        "destination": {"protocol": "HTTP", "URI": f"http://sandbox.localdomain:{server.server_port}"},
    }, me)
    print("agent ready", flush=True)
    invocations = 0
    while True:
        _, event = call("GET", api + "/event/next", None, me)
        if event["eventType"] == "SHUTDOWN":
            break
        invocations += 1
        if MODE == "crash":
            sys.exit(1)
        if "AGENT_MEETS" in os.environ:
            meet(os.environ["AGENT_MEETS"], invocations)
    deadline = time.monotonic() + 1.5
    while done() < invocations and time.monotonic() < deadline:
        time.sleep(0.01)
    flush(invocations)


main()
