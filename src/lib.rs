//! An AWS Lambda extension that speaks the Datadog agent's protocols: a drop-in for `/opt/extensions/datadog-agent`.
//!
//! The modules stand in the order in which a byte travels:
//!
//! ```text
//!             Lambda                                                        Datadog
//!               │ ▲                                                            ▲
//!     events    │ │ register, subscribe, next                                  │ HTTPS
//!               ▼ │                                                            │
//!   ingest ───▶ process ───▶ aggregate ───▶ flush ───────────────────────▶ intake
//!   listens     pure: event  bounded        when it leaves, and what       requests, TLS,
//!               in, log and  memory         becomes of it if it can't      one file a payload
//!               point out
//!
//!   platform: Lambda's APIs and ids    start: the order of birth    run: the loops that join all of this
//! ```

pub mod build_info;
pub mod features;

pub mod platform;
pub mod startup;

pub mod ingest;
pub mod process;

pub mod aggregate;
pub mod flush;
pub mod intake;

pub mod run;

pub mod config;
pub mod os;
