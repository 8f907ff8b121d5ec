#!/usr/bin/env python3
"""A custom runtime whose events say what to do: {"print": …, "exit": code, "sleep": seconds, "hold_mb": MB, "tick": file}."""

import http.client
import json
import os
import sys
import threading
import time

HOST = os.environ["AWS_LAMBDA_RUNTIME_API"]
HELD = []


def call(method, path, body=None):
    connection = http.client.HTTPConnection(HOST)
    connection.request(method, "/2018-06-01/runtime/" + path, body)
    response = connection.getresponse()
    return response, response.read()


def tick(file):
    def run():
        while True:
            with open(file, "a", encoding="utf-8") as out:
                out.write(".")
            time.sleep(0.01)

    threading.Thread(target=run, daemon=True).start()


if os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"] == "snap-start":
    call("GET", "restore/next")
    print("restored", flush=True)

while True:
    response, event = call("GET", "invocation/next")
    event = json.loads(event)
    if "print" in event:
        print(event["print"], flush=True)
    if "raw" in event:
        os.write(1, bytes(event["raw"]))
    if "tick" in event:
        tick(event["tick"])
    if "hold_mb" in event:
        HELD.append(bytearray(os.urandom(1024)) * (1024 * event["hold_mb"]))
    time.sleep(event.get("sleep", 0))
    if "exit" in event:
        sys.exit(event["exit"])
    identifier = response.headers["Lambda-Runtime-Aws-Request-Id"]
    answer = {"environment": dict(os.environ), "directory": os.getcwd()} if "environment" in event else event
    call("POST", f"invocation/{identifier}/response", json.dumps(answer))
