//! Bodies of traces and stats.

use bottlecap::process::trace::decode::{self, Version};

use crate::{checks, fuzz};

const V04: [&[u8]; 4] = [
    b"\x91\x92\x8a\xa7service\xa3svc\xa4name\xa3web\xa8resource\xa6GET /x\xa8trace_id\x07\xa7span_id\x01\xa9parent_id\x00\xa5start\xcf\x17\x97\x9c\xfe6*\0\0\xa8duration\xcd\x01,\xa4type\xa3web\xa4meta\x82\xa3env\xa4prod\xa8http.url\xb6http://u:p@h/1?q=2#frg\x84\xa8trace_id\x07\xa7span_id\x02\xa9parent_id\x01\xa7metrics\x81\xb5_sampling_priority_v1\xcb\x3f\xf0\0\0\0\0\0\0",
    b"\x91\x91\x83\xa4type\xa3sql\xa8resource\xd9\x2bSELECT * FROM t WHERE a IN (1, 2) AND b='x'\xa7span_id\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x91\x91\x83\xaaspan_links\x91\x83\xa8trace_id\x05\xaaattributes\x81\xa1a\xa1b\xa5flags\x01\xabspan_events\x91\x82\xa4name\xa2ev\xaaattributes\x81\xa1l\x82\xa4type\x04\xabarray_value\x81\xa6values\x91\x82\xa4type\x02\xa9int_value\xd0\xfb\xabmeta_struct\x81\xa6appsec\xc4\x03\x81\xa1a",
    b"\x93\x91\x81\xa8resource\xb9dd-tracer-serverless-span\x90\x91\x82\xa4type\xa5redis\xa8resource\xacSET k v\nGET ",
];

const V05: [&[u8]; 2] = [
    b"\x92\x98\xa0\xa3svc\xa2op\xa3res\xa3web\xa1k\xa1v\xa1m\x91\x92\x9c\x01\x02\x03\x07\x01\x00\xcf\x17\x97\x9c\xfe6*\0\0\x05\x00\x81\x05\x06\x81\x07\xca\x3f\xc0\0\0\x04\x9c\x01\x02\x03\x07\x02\x01\x00\x05\x01\x80\x80\x00",
    b"\x92\x90\x90",
];

const STATS: [&[u8]; 2] = [
    b"\x83\xa3Env\xa4prod\xa8Sequence\x03\xa5Stats\x91\x83\xa5Start\x0a\xa8Duration\xcf\0\0\0\x02T\x0b\xe4\0\xa5Stats\x91\x85\xa4Name\xa2op\xa4Hits\x07\xa9OkSummary\xc4\x02\x01\x02\xa8PeerTags\x91\xa3p:q\xaaSynthetics\xc3",
    b"\x82\xa4Lang\xa2go\xa5Stats\x90",
];

#[test]
fn every_span_of_a_request_is_sent_or_counted() {
    let pipeline = checks::pipeline();
    for (version, corpus) in [(Version::V04, &V04[..]), (Version::V05, &V05)] {
        for body in corpus {
            assert!(decode::traces(version, body).unwrap().all(|trace| trace.is_ok()), "{version:?} {body:?}");
        }
        fuzz(corpus, |input, _| checks::traces(version, &pipeline, input));
    }
}

#[test]
fn stats_that_are_encoded_again_stay_the_same() {
    fuzz(&STATS, |input, _| checks::statistics(input));
}
