import json

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc
from opentelemetry.exporter.otlp.proto.http import trace_exporter as http
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult


class Sent(SpanExporter):
    """Prints every span and sends it."""

    def __init__(self, exporter):
        self.exporter = exporter

    def export(self, spans):
        for span in spans:
            print("sent " + json.dumps({
                "trace_id": str(span.context.trace_id & (2**64 - 1)),
                "span_id": str(span.context.span_id),
                "parent_id": str(span.parent.span_id if span.parent else 0),
                "name": span.name,
                "service": "shop",
                "resource": span.name,
                "type": "",
                "start": str(span.start_time),
                "duration": str(span.end_time - span.start_time),
                "error": int(span.status.status_code is trace.StatusCode.ERROR),
            }), flush=True)
        result = self.exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            print("not sent", flush=True)
        return result


def tracer(exporter):
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(SimpleSpanProcessor(Sent(exporter)))
    return provider.get_tracer("shop")


TRACERS = [
    ("http", tracer(http.OTLPSpanExporter(endpoint="http://localhost:4318/v1/traces"))),
    ("grpc", tracer(grpc.OTLPSpanExporter(endpoint="http://localhost:4317", insecure=True))),
]


def handler(event, context):
    protocol, tracer = TRACERS[event]
    attributes = {"shop.protocol": protocol}
    with tracer.start_as_current_span("shop.order", kind=trace.SpanKind.SERVER, attributes=attributes):
        with tracer.start_as_current_span("shop.price", attributes=attributes) as span:
            span.set_attribute("shop.items", 2)
        try:
            with tracer.start_as_current_span("shop.stock", attributes=attributes):
                raise KeyError("cup")
        except KeyError:
            pass
    return event
