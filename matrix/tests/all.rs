//! Tests of the tool through its public functions and its command line. One program: each of its own would link the tool and all that it depends on once more.
//!
//! `cargo test --package matrix --test all -- platform_init::` runs those of one file.

mod analyze_design;
mod analyze_evidence;
mod analyze_power;
mod analyze_simulation;
mod analyze_support;
mod documented_facts;
mod documented_tables;
mod fan_out;
mod fips_layer;
mod fips_script;
mod floor;
mod gate_ci;
mod gate_decisions;
mod gate_delivery;
mod gate_machines;
mod gate_planted;
mod gate_support;
mod gate_suspicious;
mod hosted_ci;
mod intake_decoding;
mod intake_plan;
mod invoke_command;
mod invoke_functions;
mod layer_inspect;
mod layer_invoke;
mod layer_make;
mod layer_support;
mod layer_wrapper;
mod machine_support;
mod manifest;
mod measure_command;
mod measure_footprint;
mod measure_run;
mod measure_sandbox;
mod measure_support;
mod memory_bounds;
mod plan_command;
mod platform_init;
mod platform_invoke;
mod platform_shutdown;
mod platform_support;
mod platform_telemetry;
mod python_environment;
mod report_exports;
mod report_files;
mod report_formats;
mod report_page;
mod report_support;
mod switch_effects;
mod switch_support;
#[path = "../src/test_arguments.rs"]
mod test_arguments;
mod whole_files;
