//! The settings of one function of a template: its own over those of all functions.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::layers::Layers;
use super::parameters::{self, Scalar};
use super::{Code, TemplateFunction, UnresolvedSetting};

/// The path of a setting in a template, and its option.
struct SettingPath {
    /// The names that lead to it.
    path: &'static [&'static str],
    /// The option that sets it.
    option: &'static str,
}

/// Where a kind of template has the settings of a function.
pub struct SettingPaths {
    handler: SettingPath,
    runtime: SettingPath,
    variables: SettingPath,
    timeout: SettingPath,
    memory: SettingPath,
    ephemeral_storage: SettingPath,
    function_name: SettingPath,
    layers: SettingPath,
}

impl SettingPaths {
    pub const OF_STACK: Self = Self {
        handler: SettingPath { path: &["Handler"], option: "handler" },
        runtime: SettingPath { path: &["Runtime"], option: "runtime" },
        variables: SettingPath { path: &["Environment", "Variables"], option: "env" },
        timeout: SettingPath { path: &["Timeout"], option: "timeout" },
        memory: SettingPath { path: &["MemorySize"], option: "memory" },
        ephemeral_storage: SettingPath { path: &["EphemeralStorage", "Size"], option: "ephemeral-storage" },
        function_name: SettingPath { path: &["FunctionName"], option: "function-name" },
        layers: SettingPath { path: &["Layers"], option: "layer" },
    };

    pub const OF_SERVICE: Self = Self {
        handler: SettingPath { path: &["handler"], option: "handler" },
        runtime: SettingPath { path: &["runtime"], option: "runtime" },
        variables: SettingPath { path: &["environment"], option: "env" },
        timeout: SettingPath { path: &["timeout"], option: "timeout" },
        memory: SettingPath { path: &["memorySize"], option: "memory" },
        ephemeral_storage: SettingPath { path: &["ephemeralStorageSize"], option: "ephemeral-storage" },
        function_name: SettingPath { path: &["name"], option: "function-name" },
        layers: SettingPath { path: &["layers"], option: "layer" },
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

/// The value at a path.
enum Lookup<'a> {
    Nothing,
    /// Only a deployment knows what is there.
    Unresolved,
    Value(&'a Value),
}

impl Settings<'_> {
    pub fn template_function(self, paths: &SettingPaths) -> TemplateFunction {
        let mut function = TemplateFunction { name: self.name.to_owned(), ..TemplateFunction::default() };
        self.set_variables(&paths.variables, &mut function);
        let unresolved = &mut function.unresolved_settings;
        function.handler = self.find(&paths.handler, unresolved);
        function.runtime = self.find(&paths.runtime, unresolved);
        function.timeout = self.find(&paths.timeout, unresolved);
        function.memory = self.find(&paths.memory, unresolved);
        function.ephemeral_storage = self.find(&paths.ephemeral_storage, unresolved);
        // What all functions have, such as the name of the provider, is no name of this one.
        function.function_name = find(self.of.last().copied(), &paths.function_name, unresolved);
        unresolved.extend(self.layers.is_unresolved.then(|| UnresolvedSetting::of(&paths.layers)));
        TemplateFunction { code: self.code, layers: self.layers, triggers: self.triggers, ..function }
    }

    fn find(&self, setting: &SettingPath, unresolved: &mut Vec<UnresolvedSetting>) -> Option<String> {
        find(self.of.iter().rev().copied(), setting, unresolved)
    }

    /// A variable of the function replaces one of all functions, whether or not their values are known.
    fn set_variables(&self, setting: &SettingPath, function: &mut TemplateFunction) {
        let mut variables = BTreeMap::new();
        for of in self.of {
            match look_up(of, setting.path) {
                Lookup::Value(Value::Object(fields)) => {
                    variables.extend(fields.iter().map(|(name, value)| (name.clone(), Scalar::of(value))));
                }
                Lookup::Nothing => {}
                Lookup::Unresolved | Lookup::Value(_) => {
                    function.unresolved_settings.push(UnresolvedSetting::of(setting));
                }
            }
        }
        for (name, value) in variables {
            match value {
                Scalar::Text(text) => drop(function.environment.insert(name, text)),
                Scalar::Unresolved => function.unresolved.push(name),
                Scalar::Missing => function.no_text.push(name),
            }
        }
    }
}

impl UnresolvedSetting {
    fn of(setting: &SettingPath) -> Self {
        Self { name: setting.path.join("."), option: setting.option }
    }
}

/// The text of a setting, of the first one that has it.
fn find<'v>(
    of: impl IntoIterator<Item = &'v Value>,
    setting: &SettingPath,
    unresolved: &mut Vec<UnresolvedSetting>,
) -> Option<String> {
    match of.into_iter().map(|of| look_up(of, setting.path)).find(|found| !matches!(found, Lookup::Nothing))? {
        Lookup::Nothing => None,
        // What is no text is wrong, and is shown as it is.
        Lookup::Value(value) => Some(Scalar::of(value).text().unwrap_or_else(|| value.to_string())),
        Lookup::Unresolved => {
            unresolved.push(UnresolvedSetting::of(setting));
            None
        }
    }
}

/// What the names lead to. An empty value is nothing.
fn look_up<'v>(value: &'v Value, path: &[&str]) -> Lookup<'v> {
    let mut value = value;
    for name in path {
        if parameters::function(value).is_some() {
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
