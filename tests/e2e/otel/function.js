const { SpanKind, SpanStatusCode, trace, context } = require("@opentelemetry/api");
const { resourceFromAttributes } = require("@opentelemetry/resources");
const { BasicTracerProvider, SimpleSpanProcessor } = require("@opentelemetry/sdk-trace-base");

const EXPORTERS = [
    ["http", "proto", "http://localhost:4318/v1/traces"],
    ["json", "http", "http://localhost:4318/v1/traces"],
    ["grpc", "grpc", "http://localhost:4317"],
];

const nanoseconds = ([seconds, rest]) => BigInt(seconds) * 1000000000n + BigInt(rest);
const decimal = (id) => BigInt(`0x${id.slice(-16)}`).toString();

const print = (span) => console.log("sent " + JSON.stringify({
    trace_id: decimal(span.spanContext().traceId),
    span_id: decimal(span.spanContext().spanId),
    parent_id: span.parentSpanContext ? decimal(span.parentSpanContext.spanId) : "0",
    name: span.name,
    service: "shop",
    resource: span.name,
    type: "",
    start: nanoseconds(span.startTime).toString(),
    duration: (nanoseconds(span.endTime) - nanoseconds(span.startTime)).toString(),
    error: span.status.code === SpanStatusCode.ERROR ? 1 : 0,
}));

// A tracer whose spans are printed, and what becomes of them when they are sent.
const start = ([protocol, name, url]) => {
    const { OTLPTraceExporter } = require(`@opentelemetry/exporter-trace-otlp-${name}`);
    const exporter = new OTLPTraceExporter({ url });
    const results = [];
    const send = exporter.export.bind(exporter);
    exporter.export = (spans, done) => {
        spans.forEach(print);
        results.push(new Promise((resolve, reject) => send(spans, (result) => {
            done(result);
            result.code === 0 ? resolve() : reject(result.error);
        })));
    };
    const provider = new BasicTracerProvider({
        resource: resourceFromAttributes({ "service.name": "shop" }),
        spanProcessors: [new SimpleSpanProcessor(exporter)],
    });
    return { protocol, provider, results, tracer: provider.getTracer("shop") };
};
const tracers = EXPORTERS.map(start);

exports.handler = async (event) => {
    const { protocol, provider, results, tracer } = tracers[event];
    const attributes = { "shop.protocol": protocol };
    const order = tracer.startSpan("shop.order", { kind: SpanKind.SERVER, attributes });
    const inside = trace.setSpan(context.active(), order);
    tracer.startSpan("shop.price", { attributes: { ...attributes, "shop.items": 2 } }, inside).end();
    const stock = tracer.startSpan("shop.stock", { attributes }, inside);
    stock.setStatus({ code: SpanStatusCode.ERROR, message: "cup" });
    stock.end();
    order.end();
    await provider.forceFlush();
    await Promise.all(results);
    return event;
};
