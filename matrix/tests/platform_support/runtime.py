#!/usr/bin/env python3
"""A custom runtime whose events say what to do: {"print": …, "exit": code, "sleep": seconds, "hold_mb": MB, "tick": file,
"mark": name of a file in /tmp, where those of before are printed,
"forks": idle children, "daemon_mb": MB that a process holds that has left its session and its parent}."""

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


def hold(megabytes):
    HELD.append(bytearray(os.urandom(1024)) * (1024 * megabytes))


def fork(work):
    if os.fork() == 0:
        work()
        os._exit(0)


def daemon(work):
    def leave():
        os.setsid()
        fork(work)

    fork(leave)
    os.wait()


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
        hold(event["hold_mb"])
    if "mark" in event:
        print("marks:", *sorted(name for name in os.listdir("/tmp") if name.startswith("mark-")), flush=True)
        open("/tmp/mark-" + event["mark"], "w", encoding="utf-8").close()
    for _ in range(event.get("forks", 0)):
        fork(lambda: time.sleep(600))
    if "daemon_mb" in event:
        daemon(lambda: (hold(event["daemon_mb"]), time.sleep(600)))
    time.sleep(event.get("sleep", 0))
    if "exit" in event:
        sys.exit(event["exit"])
    identifier = response.headers["Lambda-Runtime-Aws-Request-Id"]
    answer = {"environment": dict(os.environ), "directory": os.getcwd()} if "environment" in event else event
    call("POST", f"invocation/{identifier}/response", json.dumps(answer))
