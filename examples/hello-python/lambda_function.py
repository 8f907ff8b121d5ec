import json


def lambda_handler(event, context):
    name = event.get("name", "world")
    print(f"Hello, {name}!")
    print(json.dumps({"level": "info", "message": "greeted", "name": name}))
    return {"statusCode": 200, "body": json.dumps({"greeting": f"Hello, {name}!", "request": context.aws_request_id})}
