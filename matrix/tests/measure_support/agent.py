#!/usr/bin/env python3
"""An extension that says what it sees, and sends a log for every invocation.

Variables: SEEN names a file for what it sees; BURN is CPU time in milliseconds that it uses before it registers and at every invocation; LATE is CPU time
that it uses on another thread after it has asked for its first event.
"""

import http.client
import json
import os
import threading
import time
from urllib.parse import urlsplit


def burn(milliseconds):
    end = time.process_time() + milliseconds / 1000
    while time.process_time() < end:
        pass


def call(address, method, path, headers, body=None):
    connection = http.client.HTTPConnection(address)
    connection.request(method, path, body and json.dumps(body), headers)
    response = connection.getresponse()
    return response, response.read()


def listing(path):
    try:
        return sorted(os.listdir(path))
    except OSError as error:
        return error.strerror


def trace(name):
    if "BOTTLECAP_INIT_TRACE" in os.environ:
        with open(os.environ["BOTTLECAP_INIT_TRACE"], "a") as file:
            file.write(f"{name} {time.monotonic_ns()}\n")


def see():
    if "SEEN" not in os.environ:
        return
    layer = os.path.dirname(os.path.dirname(__file__))
    seen = {
        "ssl": listing("/etc/ssl/certs"),
        "pki": listing("/etc/pki/tls/certs"),
        "groups": listing("/sys/fs/cgroup"),
        "cpus": len(os.sched_getaffinity(0)),
        "layer": listing(os.path.join(layer, "bottlecap")),
        "variables": sorted(name for name in os.environ if name.startswith("SSL_")),
    }
    with open(os.environ["SEEN"], "w") as file:
        json.dump(seen, file)


def send(request_id):
    intake = urlsplit(os.environ["DD_LOGS_CONFIG_LOGS_DD_URL"]).netloc
    log = {"message": {"message": f"seen {request_id} in {time.time() % 1:.3f} ms", "timestamp": time.time_ns()}}
    headers = {"DD-API-KEY": os.environ["DD_API_KEY"], "DD-PROTOCOL": "agent-json", "Content-Type": "application/json"}
    call(intake, "POST", "/api/v2/logs", headers, [log])


def main():
    api = os.environ["AWS_LAMBDA_RUNTIME_API"]
    trace("start")
    see()
    burn(int(os.environ.get("BURN", 0)))
    greeting = {"Lambda-Extension-Name": "datadog-agent"}
    response, _ = call(api, "POST", "/2020-01-01/extension/register", greeting, {"events": ["INVOKE", "SHUTDOWN"]})
    identifier = {"Lambda-Extension-Identifier": response.getheader("Lambda-Extension-Identifier")}
    trace("registered")
    if "LATE" in os.environ:
        threading.Timer(0.01, burn, [int(os.environ["LATE"])]).start()
    while True:
        _, body = call(api, "GET", "/2020-01-01/extension/event/next", identifier)
        event = json.loads(body)
        if event["eventType"] == "SHUTDOWN":
            return
        burn(int(os.environ.get("BURN", 0)))
        send(event["requestId"])


main()
