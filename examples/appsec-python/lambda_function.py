"""A function behind an HTTP API whose requests the extension evaluates for attacks.

It tells the extension of each invocation and of its response, as Datadog's tracers for Java, .NET, Go and Ruby do.
"""

import functools
import json
import secrets
import urllib.request

EXTENSION = "http://127.0.0.1:8124/lambda/"
ITEMS = [{"name": "cup", "cents": 900}, {"name": "saucer", "cents": 450}]


def tell(call, headers, body):
    data = json.dumps(body).encode()
    headers = {"content-type": "application/json", **headers}
    request = urllib.request.Request(EXTENSION + call, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=1):
            pass
    except OSError as error:
        print(f"the extension was not told of the invocation: {error}")


def monitored(handler):
    @functools.wraps(handler)
    def wrapper(event, context):
        invocation = {"lambda-runtime-aws-request-id": context.aws_request_id}
        tell("start-invocation", invocation, event)
        ids = {f"x-datadog-{name}-id": str(1 + secrets.randbits(62)) for name in ("trace", "span")}
        try:
            response = handler(event, context)
        except Exception:
            tell("end-invocation", {**invocation, **ids, "x-datadog-invocation-error": "true"}, None)
            raise
        tell("end-invocation", {**invocation, **ids}, response)
        return response

    return wrapper


@monitored
def lambda_handler(event, context):
    name = (event.get("queryStringParameters") or {}).get("name", "")
    found = [item for item in ITEMS if item["name"] == name]
    print(f"{len(found)} items are called {name!r}")
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(found)}
