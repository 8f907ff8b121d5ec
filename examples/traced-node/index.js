const tracer = require("dd-trace").init();
const { datadog, sendDistributionMetric } = require("datadog-lambda-js");

function price(items) {
  return tracer.trace("shop.price", { service: "shop", resource: "price of an order" }, (span) => {
    span.setTag("shop.items", items.length);
    console.log(`${items.length} items are priced`);
    return items.reduce((sum, item) => sum + item.cents, 0);
  });
}

async function handler(event) {
  const total = await tracer.trace("shop.order", { service: "shop", resource: "POST /orders" }, async () => {
    sendDistributionMetric("shop.orders", 1, "store:berlin");
    return price(event.items ?? []);
  });
  return { statusCode: 200, body: JSON.stringify({ cents: total }) };
}

exports.handler = datadog(handler);
