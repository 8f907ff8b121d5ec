//! Names that were given up for the field's own terms, and have no other meaning there.

use proc_macro2::TokenTree;

use crate::tokens;
use crate::tree::{Complaint, File, Tree};

/// The retired name, and what the thing is called instead.
const RETIRED: &[(&str, &str)] = &[
    ("Anybody", "InsecureVerifier"),
    ("Asked", "a noun for what it holds"),
    ("BehindLauncher", "EffectBehindLauncher"),
    ("Bequest", "Handover"),
    ("BesideTheAgent", "ProgramBuild"),
    ("Birth", "StartTime"),
    ("Census", "ProcessTotals"),
    ("CERTIFIED", "FIPS_MODULE"),
    ("Chapter", "ConditionSection"),
    ("Circumstances", "MachineCapabilities"),
    ("Companion", "LayerFile"),
    ("Contrasted", "CellContrast"),
    ("Courier", "TelemetryDelivery"),
    ("Described", "CargoMetadata"),
    ("Desk", "IntakeState"),
    ("Disturbance", "InjectedFault"),
    ("Echelon", "ReducedMatrix"),
    ("Enlisted", "RegisteredExtension"),
    ("Entrance", "CgroupEntry"),
    ("EXPRESS", "EARLY_NEXT"),
    ("Guests", "ConnectionLog"),
    ("Halt", "NextBreakpoint"),
    ("Ingredients", "LayerInputs"),
    ("Keyring", "ApiKeyCache"),
    ("Launchpad", "ProcessSpec"),
    ("Leading", "PivotRow"),
    ("Lenient", "InsecureVerifier"),
    ("Lived", "RepeatedRun"),
    ("Lives", "RunProofs"),
    ("Meeting", "HandshakeResult"),
    ("Planted", "PlantedEffect"),
    ("Prelude", "BaselineUsage"),
    ("Price", "Benchmark"),
    ("Produced", "Output"),
    ("Producible", "AvailableScenarios"),
    ("Question", "PairedDifferences"),
    ("Ran", "ProofResults"),
    ("Said", "a noun for what it holds"),
    ("Sleeper", "DelayedRuntime"),
    ("Strategist", "FlushDecider"),
    ("Surroundings", "RunOptions"),
    ("Taste", "ServerTlsConfig"),
    ("Testimony", "BuildReport"),
    ("Told", "a noun for what it holds"),
    ("Toolbox", "Toolchain"),
    ("Unborn", "NextInvocation"),
    ("Uncounted", "InvocationCountMismatch"),
    ("Untimed", "DeliveryStarts"),
    ("Wants", "EventSubscriptions"),
    ("Workshop", "BuildContext"),
    ("births", "startup_failures"),
    ("chapter_parts", "section_parts"),
    ("chapters", "sections"),
    ("disturb", "fault"),
    ("essence", "canonical_text"),
    ("ingredients", "layer_inputs"),
    ("no_price", "no_benchmark"),
    ("of_chapter", "of_section"),
    ("planning", "estimate"),
    ("settle", "a verb for what it does"),
    ("settle_controls", "apply_controls"),
    ("settle_cpu", "set_up_cpu"),
    ("settle_disk", "set_up_disk"),
    ("settle_halt", "set_up_breakpoint"),
    ("settle_interface", "set_up_interface"),
    ("settle_managed", "handle_managed_completion"),
    ("settle_mounts", "set_up_mounts"),
    ("settle_network", "set_up_network"),
    ("settle_processes", "set_up_processes"),
    ("settle_trust_store", "trust_store_mounts"),
    ("settle_user", "set_up_user"),
    ("take_orphans", "take_held_logs"),
    ("testimony", "build_report"),
    ("trust_everybody", "insecure_client_config"),
    ("vouched", "check_fips"),
];

/// Names that belong to no one any more, in any Rust file; texts and comments may have the words.
pub fn retired(tree: &Tree) -> Vec<Complaint> {
    tree.rust("").flat_map(|file| complaints(file, &tokens::of(file))).collect()
}

fn complaints(file: &File, tokens: &[TokenTree]) -> Vec<Complaint> {
    let one = |token: &TokenTree| match token {
        TokenTree::Group(group) => complaints(file, &group.stream().into_iter().collect::<Vec<_>>()),
        TokenTree::Ident(name) => {
            let found = RETIRED.iter().find(|(retired, _)| name == retired);
            let what = |(retired, plain): &(&str, &str)| format!("`{retired}` is a retired name: use {plain}");
            found.map(|row| Complaint::new(file, tokens::line(token), what(row))).into_iter().collect()
        }
        _ => Vec::new(),
    };
    tokens.iter().flat_map(one).collect()
}
