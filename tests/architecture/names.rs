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
    ("take_orphans", "take_held_logs"),
    ("testimony", "build_report"),
    ("trust_everybody", "insecure_client_config"),
    ("vouched", "check_fips"),
];

/// The start of a path, the name that is retired there, and what the thing is called instead. Elsewhere the name is a word of the field.
const RETIRED_AT: &[[&str; 3]] = &[
    ["matrix/src/build/", "ledger", "build_log"],
    ["matrix/src/build/", "workshop", "context"],
    ["matrix/src/commands/", "verb", "command"],
    ["matrix/src/fips_report/", "attend", "serve_connection"],
    ["matrix/src/fips_report/", "life", "run"],
    ["matrix/src/fips_report/", "lives", "runs"],
    ["matrix/src/fips_report/", "meeting", "result"],
    ["matrix/src/fips_report/", "meetings", "results"],
    ["matrix/src/fips_report/", "taste", "tls"],
    ["matrix/src/report/", "Idea", "Definition"],
    ["matrix/src/report/", "IDEAS", "DEFINITIONS"],
    ["matrix/src/report/", "Ink", "CellColor"],
    ["matrix/src/report/", "ink", "color"],
    ["matrix/src/report/", "Sheet", "CsvWriter"],
    ["matrix/src/report/", "Story", "Report"],
    ["matrix/src/report/", "Tone", "FieldStyle"],
    ["matrix/src/report/", "Weight", "Severity"],
    ["matrix/src/sandbox/", "Bill", "BilledDuration"],
    ["matrix/src/sandbox/", "companion", "layer file"],
    ["matrix/src/sandbox/", "courier", "delivery"],
    ["matrix/src/sandbox/", "Door", "Listener"],
    ["matrix/src/sandbox/", "Ground", "IsolationResources"],
    ["matrix/src/sandbox/", "ground", "resources"],
    ["matrix/src/sandbox/", "House", "SandboxRuntime"],
    ["matrix/src/sandbox/", "house", "runtime"],
    ["matrix/src/sandbox/", "Hub", "TelemetryHub"],
    ["matrix/src/sandbox/", "Life", "EnvironmentLifecycle"],
    ["matrix/src/sandbox/", "obey", "handle_commands"],
    ["matrix/src/sandbox/", "Pump", "PipeReader"],
    ["matrix/src/sandbox/", "Stamp", "ExecTimestamp"],
    ["matrix/src/sandbox/", "Tap", "ConnectionTap"],
    ["matrix/", "Scene", "Scenario"],
    ["matrix/", "Shown", "Progress"],
    ["matrix/", "Subject", "ProgramUnderTest or MeasuredCell"],
    ["matrix/", "told", "a noun for what it holds"],
    ["matrix/", "Verb", "Command"],
    ["src/process/invocation/attribution", "adopt", "hold_log"],
    ["src/", "Lane", "Destination"],
    ["src/", "Scene", "a noun for the test's worker"],
];

/// The start of names that say nothing of what is done, and what names say instead.
const PREFIXES: &[(&str, &str)] = &[("settle_", "set_up_, apply_ or handle_"), ("ingredients_", "layer_inputs_")];

/// Names that belong to no one any more, in any Rust file or below the paths of their rows; texts and comments may have the words.
pub fn retired(tree: &Tree) -> Vec<Complaint> {
    tree.rust("").flat_map(|file| complaints(file, &tokens::of(file))).collect()
}

fn complaints(file: &File, tokens: &[TokenTree]) -> Vec<Complaint> {
    let one = |token: &TokenTree| match token {
        TokenTree::Group(group) => complaints(file, &group.stream().into_iter().collect::<Vec<_>>()),
        TokenTree::Ident(name) => {
            let name = name.to_string();
            let what = |plain: &str| format!("`{name}` is a retired name: use {plain}");
            plain(&file.path, &name)
                .map(|plain| Complaint::new(file, tokens::line(token), what(plain)))
                .into_iter()
                .collect()
        }
        _ => Vec::new(),
    };
    tokens.iter().flat_map(one).collect()
}

/// What a retired name is called instead in this file; `None` if the name is in use.
fn plain(path: &str, name: &str) -> Option<&'static str> {
    let everywhere = RETIRED.iter().find(|(retired, _)| name == *retired).map(|(_, plain)| *plain);
    let here = || {
        RETIRED_AT
            .iter()
            .find(|[start, retired, _]| path.starts_with(start) && name == *retired)
            .map(|[.., plain]| *plain)
    };
    let by_prefix = || PREFIXES.iter().find(|(start, _)| name.starts_with(start)).map(|(_, plain)| *plain);
    everywhere.or_else(here).or_else(by_prefix)
}
