//! Application Load Balancers with a function as their target. Nothing in the event says when the request came in, so there is no inferred span.
//!
//! Source: Elastic Load Balancing user guide, "Use Lambda functions as targets".

use super::{
    Kind, Trigger, http,
    trigger_data::{Input, TriggerData, set},
};

pub(super) const ROW: Trigger = Trigger { kind: Kind::LoadBalancer, matches, read, checkpoints: |_, _| {} };

const TARGET_GROUP: &str = "targetGroupArn";

fn matches(input: &Input) -> bool {
    input.request.object("elb", &[TARGET_GROUP]).has(TARGET_GROUP)
}

fn read(input: &mut Input) -> TriggerData {
    let arn = input.request.object("elb", &[TARGET_GROUP]).text(TARGET_GROUP).unwrap_or_default();
    let mut data = TriggerData::of("application-load-balancer", &arn);
    set(&mut data.tags, "http.method", input.top.text("httpMethod"));
    // A target group has headers with one value or with several, never both.
    data.carrier = http::carrier(input.top.raw("headers").or_else(|| input.top.raw("multiValueHeaders")));
    data
}
