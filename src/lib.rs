//! An AWS Lambda extension that implements the Datadog agent's protocols: a drop-in replacement for `/opt/extensions/datadog-agent`.
//!
//! The modules in the order of the data flow:
//!
//! ```text
//!             Lambda                                                        Datadog
//!               │ ▲                                                            ▲
//!     events    │ │ register, subscribe, next                                  │ HTTPS
//!               ▼ │                                                            │
//!   ingest ───▶ process ───▶ aggregate ───▶ flush ───────────────────────▶ intake
//!   sockets     pure: event  bounded        when to send, retries,         requests, TLS,
//!               in, log and  memory         and data that cannot be sent   payload encoding
//!               point out
//!
//!   platform: Lambda's APIs and ids    startup: the startup order    run: the event loops
//!   runtime_proxy: between the runtime and the Runtime API, where settings ask for it
//!   waf_client: the client of the WAF worker
//! ```

pub mod build_info;
pub mod features;

pub mod platform;
pub mod startup;

pub mod ingest;
pub mod process;
pub mod runtime_proxy;
pub mod waf_client;

pub mod aggregate;
pub mod flush;
pub mod intake;

pub mod run;

pub mod config;
pub mod os;
