//! S3 event notifications.
//!
//! Source: S3 user guide, "Event message structure".

use std::borrow::Cow;

use super::{
    Digest, Kind, SpanPointer, Trigger,
    inferred::Synchronicity,
    json::Fields,
    settings::ServiceNames,
    trigger_data::{Input, TriggerData, from_rfc3339, set},
};
use crate::process::form::percent_decode;

pub(super) const ROW: Trigger = Trigger { kind: Kind::S3, matches, read, checkpoints: |_, _| {} };

fn matches(input: &Input) -> bool {
    input.record.has("s3")
}

fn read(input: &mut Input) -> TriggerData {
    let s3 = input.record.object("s3", &["bucket", "object"]);
    let (bucket, object) = (s3.object("bucket", &["arn", "name"]), s3.object("object", &["eTag", "key", "size"]));
    let name = bucket.text("name").unwrap_or_default();
    let names = ServiceNames { specific: &name, generic: "lambda_s3", instance: &name, fallback: "s3" };
    let mut span = input.span("aws.s3", "web", from_rfc3339(input.record.text("eventTime")), &names);
    let tags = &mut span.meta;
    set(tags, "operation_name", Some("aws.s3"));
    set(tags, "event_name", input.record.text("eventName"));
    set(tags, "bucketname", Some(&name).filter(|name| !name.is_empty()));
    set(tags, "bucket_arn", bucket.text("arn"));
    set(tags, "object_key", object.text("key"));
    set(tags, "object_size", object.text("size"));
    set(tags, "object_etag", object.text("eTag"));
    let pointer = pointer(&name, &object, input.settings.sha256);
    // The record has no ARN of its source; `aws:s3` stands for it.
    let source = input.record.text("eventSource").unwrap_or_default();
    let mut data = TriggerData::of("s3", &source).with_span(span, Synchronicity::Async);
    data.name_resource(Some(name));
    data.with_pointers(pointer.into_iter().collect())
}

/// The pointer to a version of an object, by the tag that S3 computes from its content. Events have keys in the encoding of forms; whoever has written the object hashes
/// its key as it is.
fn pointer(bucket: &str, object: &Fields, sha256: Digest) -> Option<SpanPointer> {
    let (encoded, tag) = (object.text("key")?, object.text("eTag")?);
    let key = String::from_utf8(percent_decode(encoded.as_bytes())).map_or(encoded, Cow::Owned);
    let parts = [bucket, &key, tag.trim_matches('"')];
    let is_known = parts.iter().all(|part| !part.is_empty());
    SpanPointer::new("aws.s3.object", &parts, sha256).filter(|_| is_known)
}
