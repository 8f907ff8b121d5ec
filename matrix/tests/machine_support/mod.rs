//! A machine on which nothing was measured.

use matrix::measure::{Certificates, INSTRUMENT, Machine, Run};
use matrix::plan::{Plan, SCHEMA};

/// The record of a run of this plan, in which every condition was produced.
pub fn record(plan: &Plan) -> Run {
    Run {
        schema: SCHEMA,
        instrument: INSTRUMENT,
        seed: plan.seed,
        design: plan.design.clone(),
        matrix: "0.1.0".to_owned(),
        commit: None,
        machine: machine(),
        refused: Vec::new(),
        left_out: Vec::new(),
    }
}

pub fn machine() -> Machine {
    Machine {
        cpu: "Some CPU <at> 2.5 GHz".to_owned(),
        cores: 2,
        kernel: "Linux 6.1.0".to_owned(),
        architecture: "x86_64".to_owned(),
        governor: None,
        memory_mb: 8000,
        control_groups: Some(2),
        read_ahead_kib: Some(128),
        certificates: Some(Certificates { count: 140, sha256: "0123456789abcdef".to_owned() }),
    }
}
