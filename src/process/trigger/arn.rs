//! Parts of ARNs.

/// The last part, after the last colon: the name of a queue, topic or bucket.
pub(super) fn name(arn: &str) -> &str {
    arn.rsplit(':').next().unwrap_or_default()
}

/// The account, the fifth part.
pub(super) fn account(arn: &str) -> &str {
    arn.split(':').nth(4).unwrap_or_default()
}

/// The second of the parts that slashes separate: the name of a table, stream or cluster.
pub(super) fn second_segment(arn: &str) -> &str {
    arn.split('/').nth(1).unwrap_or_default()
}
