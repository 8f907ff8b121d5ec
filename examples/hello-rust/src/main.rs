//! A function in Rust under AWS's runtime client, the crate `lambda_runtime`: it greets, or does what the field `action` of the event names. docs/sandbox.md shows how
//! to invoke it; the end-to-end tests of the proxy in front of the Runtime API build and invoke it as well.

use lambda_runtime::{
    Error, FunctionResponse, LambdaEvent, StreamResponse, service_fn,
    streaming::{Body, Sender, channel},
};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Event {
    #[serde(default = "world")]
    name: String,
    #[serde(default)]
    action: Action,
    /// What [`Action::Reverse`] reverses.
    #[serde(default)]
    body: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    #[default]
    Greet,
    /// Returns the body backwards.
    Reverse,
    /// Streams 20 MB.
    Stream,
    /// Returns an error.
    Fail,
    /// Panics, which the runtime client catches.
    Panic,
}

fn world() -> String {
    "world".to_owned()
}

/// A response over HTTP, buffered or streamed.
type Response = FunctionResponse<Value, Body>;

async fn handler(event: LambdaEvent<Event>) -> Result<Response, Error> {
    let LambdaEvent { payload: Event { name, action, body }, context } = event;
    let body = match action {
        Action::Greet => {
            println!("Hello, {name}!");
            json!({ "greeting": format!("Hello, {name}!"), "request": context.request_id }).to_string()
        }
        Action::Reverse => body.chars().rev().collect(),
        Action::Stream => return stream(),
        Action::Fail => return Err("boom".into()),
        Action::Panic => panic!("out of order"),
    };
    Ok(FunctionResponse::BufferedResponse(json!({ "statusCode": 200, "body": body })))
}

/// A response whose pieces are sent while it is being made.
fn stream() -> Result<Response, Error> {
    let (sender, body) = channel();
    tokio::spawn(async move {
        if let Err(error) = send(sender).await {
            eprintln!("The response was not streamed to its end: {error}");
        }
    });
    let mut response = StreamResponse::from(body);
    response.metadata_prelude.status_code = 201_u16.try_into()?;
    Ok(FunctionResponse::StreamingResponse(response))
}

/// Sends pieces of changing length and content.
async fn send(mut sender: Sender) -> Result<(), Error> {
    let mut left = 20_000_000;
    for number in 0_usize.. {
        let length = (1 + number * 7919 % 100_000).min(left);
        if length == 0 {
            break;
        }
        sender.send_data(vec![b'a' + u8::try_from(number % 26)?; length].into()).await?;
        left -= length;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(service_fn(handler)).await
}
