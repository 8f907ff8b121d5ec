import json
import logging

from datadog_lambda.metric import lambda_metric
from datadog_lambda.wrapper import datadog_lambda_wrapper
from ddtrace import tracer

logger = logging.getLogger()
logger.setLevel(logging.INFO)


def price(items):
    with tracer.trace("shop.price", service="shop", resource="price of an order") as span:
        span.set_tag("shop.items", str(len(items)))
        logger.info("%d items are priced", len(items))
        return sum(item["cents"] for item in items)


@datadog_lambda_wrapper
def lambda_handler(event, context):
    with tracer.trace("shop.order", service="shop", resource="POST /orders"):
        total = price(event.get("items", []))
        lambda_metric("shop.orders", 1, tags=["store:berlin"])
    return {"statusCode": 200, "body": json.dumps({"cents": total})}
