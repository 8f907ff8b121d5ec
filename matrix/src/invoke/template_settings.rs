//! The settings of one function of a template: its own over those of all functions.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::template_layers::Layers;
use super::template_parameters::{self, Scalar};
use super::templates::{Code, Deployed, UnresolvedSetting};

/// A setting of a function.
struct Place {
    /// The names that lead to it.
    path: &'static [&'static str],
    /// The option that sets it.
    option: &'static str,
}

/// Where a kind of template has the settings of a function.
pub struct Places {
    handler: Place,
    runtime: Place,
    variables: Place,
    timeout: Place,
    memory: Place,
    ephemeral_storage: Place,
    function_name: Place,
    layers: Place,
}

impl Places {
    pub const OF_STACK: Self = Self {
        handler: Place { path: &["Handler"], option: "handler" },
        runtime: Place { path: &["Runtime"], option: "runtime" },
        variables: Place { path: &["Environment", "Variables"], option: "env" },
        timeout: Place { path: &["Timeout"], option: "timeout" },
        memory: Place { path: &["MemorySize"], option: "memory" },
        ephemeral_storage: Place { path: &["EphemeralStorage", "Size"], option: "ephemeral-storage" },
        function_name: Place { path: &["FunctionName"], option: "function-name" },
        layers: Place { path: &["Layers"], option: "layer" },
    };

    pub const OF_SERVICE: Self = Self {
        handler: Place { path: &["handler"], option: "handler" },
        runtime: Place { path: &["runtime"], option: "runtime" },
        variables: Place { path: &["environment"], option: "env" },
        timeout: Place { path: &["timeout"], option: "timeout" },
        memory: Place { path: &["memorySize"], option: "memory" },
        ephemeral_storage: Place { path: &["ephemeralStorageSize"], option: "ephemeral-storage" },
        function_name: Place { path: &["name"], option: "function-name" },
        layers: Place { path: &["layers"], option: "layer" },
    };
}

/// The settings of a function over those of all functions.
pub struct Settings<'a> {
    /// The more specific one comes last.
    pub of: [&'a Value; 2],
    pub name: &'a str,
    pub code: Code,
    pub layers: Layers,
    pub triggers: Vec<&'static str>,
}

/// What is at a place.
enum Lookup<'a> {
    Nothing,
    /// Only a deployment knows what is there.
    Unresolved,
    Value(&'a Value),
}

impl Settings<'_> {
    pub fn deployed(self, places: &Places) -> Deployed {
        let mut deployed = Deployed { name: self.name.to_owned(), ..Deployed::default() };
        self.set_variables(&places.variables, &mut deployed);
        let unresolved = &mut deployed.unresolved_settings;
        deployed.handler = self.find(&places.handler, unresolved);
        deployed.runtime = self.find(&places.runtime, unresolved);
        deployed.timeout = self.find(&places.timeout, unresolved);
        deployed.memory = self.find(&places.memory, unresolved);
        deployed.ephemeral_storage = self.find(&places.ephemeral_storage, unresolved);
        // What all functions have, such as the name of the provider, is no name of this one.
        deployed.function_name = find(self.of.last().copied(), &places.function_name, unresolved);
        unresolved.extend(self.layers.is_unresolved.then(|| UnresolvedSetting::of(&places.layers)));
        Deployed { code: self.code, layers: self.layers, triggers: self.triggers, ..deployed }
    }

    fn find(&self, place: &Place, unresolved: &mut Vec<UnresolvedSetting>) -> Option<String> {
        find(self.of.iter().rev().copied(), place, unresolved)
    }

    /// A variable of the function replaces one of all functions, whether or not their values are known.
    fn set_variables(&self, place: &Place, deployed: &mut Deployed) {
        let mut variables = BTreeMap::new();
        for of in self.of {
            match look_up(of, place.path) {
                Lookup::Value(Value::Object(fields)) => {
                    variables.extend(fields.iter().map(|(name, value)| (name.clone(), Scalar::of(value))));
                }
                Lookup::Nothing => {}
                Lookup::Unresolved | Lookup::Value(_) => {
                    deployed.unresolved_settings.push(UnresolvedSetting::of(place));
                }
            }
        }
        for (name, value) in variables {
            match value {
                Scalar::Text(text) => drop(deployed.environment.insert(name, text)),
                Scalar::Unresolved => deployed.unresolved.push(name),
                Scalar::Missing => deployed.no_text.push(name),
            }
        }
    }
}

impl UnresolvedSetting {
    fn of(place: &Place) -> Self {
        Self { name: place.path.join("."), option: place.option }
    }
}

/// The text of a setting, of the first one that has it.
fn find<'v>(
    of: impl IntoIterator<Item = &'v Value>,
    place: &Place,
    unresolved: &mut Vec<UnresolvedSetting>,
) -> Option<String> {
    match of.into_iter().map(|of| look_up(of, place.path)).find(|found| !matches!(found, Lookup::Nothing))? {
        Lookup::Nothing => None,
        // What is no text is wrong, and is shown as it is.
        Lookup::Value(value) => Some(Scalar::of(value).text().unwrap_or_else(|| value.to_string())),
        Lookup::Unresolved => {
            unresolved.push(UnresolvedSetting::of(place));
            None
        }
    }
}

/// What the names lead to. An empty value is nothing.
fn look_up<'v>(value: &'v Value, path: &[&str]) -> Lookup<'v> {
    let mut value = value;
    for name in path {
        if template_parameters::function(value).is_some() {
            return Lookup::Unresolved;
        }
        let Some(next) = value.get(name) else { return Lookup::Nothing };
        value = next;
    }
    match value {
        Value::Null => Lookup::Nothing,
        _ if Scalar::of(value) == Scalar::Unresolved => Lookup::Unresolved,
        _ => Lookup::Value(value),
    }
}

/// Where the code of a function of a SAM or `CloudFormation` template is, whose directory this is.
pub fn code_of_stack(own: &Value, globals: &Value, directory: &Path) -> Code {
    if let Some(property) = ["InlineCode", "ImageUri"].into_iter().find(|property| own.get(property).is_some()) {
        return Code::Elsewhere(property);
    }
    if [own, globals].iter().any(|of| of.get("PackageType").and_then(Value::as_str) == Some("Image")) {
        return Code::Elsewhere("PackageType");
    }
    for (of, property) in [(own, "CodeUri"), (globals, "CodeUri"), (own, "Code")] {
        return match look_up(of, &[property]) {
            Lookup::Nothing => continue,
            Lookup::Unresolved => Code::Elsewhere(property),
            Lookup::Value(value) => match Scalar::of(value).text().filter(|path| !path.starts_with("s3://")) {
                Some(path) => Code::Place(directory.join(path)),
                None => Code::Elsewhere(property),
            },
        };
    }
    Code::Place(directory.to_owned())
}
