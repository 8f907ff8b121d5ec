//! Finds the handler of a Python function by looking into its files.

use std::fs;
use std::path::Path;

use regex::Regex;

/// The modules in the order in which they are looked at; AWS's own default comes first.
const MODULES: [&str; 6] = ["lambda_function", "app", "index", "handler", "main", "function"];
/// The names of functions in the order in which they are preferred.
const NAMES: [&str; 4] = ["lambda_handler", "handler", "main", "run"];

/// What a Python file offers at its top level.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Module {
    /// Functions with the two parameters of a handler, in order.
    pub handlers: Vec<String>,
    /// All other names that could be called: functions, classes, and what is assigned or imported.
    pub others: Vec<String>,
    /// Whether names may be defined in ways that a look at the file does not show.
    pub is_open: bool,
}

impl Module {
    /// Reads a file; an unreadable one offers nothing that is known.
    pub fn read(file: &Path) -> Self {
        fs::read(file)
            .map_or(Self { is_open: true, ..Self::default() }, |text| Self::of(&String::from_utf8_lossy(&text)))
    }

    fn of(source: &str) -> Self {
        let mut module = Self::default();
        let pattern = definitions();
        for found in pattern.iter().flat_map(|pattern| pattern.captures_iter(source)) {
            let text = |group: &str| found.name(group).map(|text| text.as_str());
            if text("star").is_some() {
                module.is_open = true;
            } else if let Some(names) = text("imported") {
                module.others.extend(imported(names));
            } else if let (Some(name), Some(parameters)) = (text("function"), text("parameters")) {
                let list = if is_handler(parameters) { &mut module.handlers } else { &mut module.others };
                list.push(name.to_owned());
            } else {
                module.others.extend(text("assigned").or(text("class")).map(str::to_owned));
            }
        }
        module.is_open |= source.contains("globals()") || source.contains("__getattr__");
        module
    }

    /// Whether the file may have this name.
    pub fn may_have(&self, name: &str) -> bool {
        self.is_open || self.handlers.iter().chain(&self.others).any(|known| known == name)
    }

    /// The name that is most probably that of the handler.
    fn handler(&self) -> Option<&str> {
        let known = NAMES.into_iter().find(|name| self.handlers.iter().chain(&self.others).any(|known| known == name));
        let only = match self.handlers.as_slice() {
            [only] => Some(only.as_str()),
            _ => None,
        };
        known.or(only)
    }
}

/// What may define a name at the top level of a module.
fn definitions() -> Option<Regex> {
    Regex::new(
        r"(?mx)
        ^(?:async[\ \t]+)?def[\ \t]+(?P<function>\w+)[\ \t]*\((?P<parameters>[^)]*)\)
        |^class[\ \t]+(?P<class>\w+)
        |^(?P<assigned>\w+)[\ \t]*(?::[^=\n]+)?=[^=]
        |^from[\ \t]+\S+[\ \t]+import[\ \t]+(?P<star>\*)
        |^(?:from[\ \t]+\S+[\ \t]+)?import[\ \t]+(?P<imported>\([^)]*\)|[^\n]*)
        ",
    )
    .ok()
}

/// The names that an import statement binds.
fn imported(names: &str) -> impl Iterator<Item = String> + '_ {
    let items = names.trim_matches(['(', ')']).split([',', '\n']);
    items.filter_map(|item| {
        let item = item.split('#').next()?.trim();
        let name = item.rsplit_once(" as ").map_or(item, |(_, name)| name).trim();
        (!name.is_empty() && !name.contains(char::is_whitespace)).then(|| name.to_owned())
    })
}

/// Whether these are the parameters of a handler: an event and a context.
fn is_handler(parameters: &str) -> bool {
    let parameters = parameters.split(',').map(str::trim).filter(|parameter| !parameter.is_empty());
    let parameters: Vec<&str> = parameters.filter(|parameter| !parameter.contains('=')).collect();
    parameters.len() == 2 && parameters.iter().all(|parameter| !parameter.starts_with('*'))
}

/// The handler of a directory, as `module.function`; `None` if no file has one.
pub fn detect(directory: &Path) -> Option<String> {
    MODULES.iter().find_map(|name| {
        let file = directory.join(name).with_extension("py");
        let module = file.is_file().then(|| Module::read(&file))?;
        module.handler().map(|handler| format!("{name}.{handler}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detected(files: &[(&str, &str)]) -> Option<String> {
        let directory = tempfile::tempdir().unwrap();
        for (name, source) in files {
            fs::write(directory.path().join(name), source).unwrap();
        }
        detect(directory.path())
    }

    #[test]
    fn the_handlers_that_project_generators_write_are_found() {
        let sam = "import json\n\n\ndef lambda_handler(event, context):\n    return {}\n";
        assert_eq!(detected(&[("app.py", sam)]).as_deref(), Some("app.lambda_handler"));
        let serverless = "import json\n\n\ndef hello(event, context):\n    return {}\n";
        assert_eq!(detected(&[("handler.py", serverless)]).as_deref(), Some("handler.hello"));
        let console = "def lambda_handler(event, context):\n    pass\n";
        assert_eq!(
            detected(&[("app.py", sam), ("lambda_function.py", console)]).as_deref(),
            Some("lambda_function.lambda_handler")
        );
        let helper = "def tidy(text):\n    return text\n";
        assert_eq!(detected(&[("lambda_function.py", helper), ("main.py", serverless)]).as_deref(), Some("main.hello"));
        assert_eq!(detected(&[("app.py", helper)]), None);
    }

    #[test]
    fn a_handler_may_be_decorated_annotated_assigned_or_imported() {
        let decorated = "@logger.inject_lambda_context\ndef handle_order(\n    event: dict,\n    context: LambdaContext,\n) -> dict:\n    pass\n";
        assert_eq!(detected(&[("app.py", decorated)]).as_deref(), Some("app.handle_order"));
        assert_eq!(detected(&[("main.py", "handler = Mangum(app)\n")]).as_deref(), Some("main.handler"));
        assert_eq!(
            detected(&[("app.py", "from orders import (create, serve as handler)\n")]).as_deref(),
            Some("app.handler")
        );
    }

    #[test]
    fn ambiguous_handler_is_an_error() {
        let several = "def create(event, context):\n    pass\n\ndef cancel(event, context):\n    pass\n";
        assert_eq!(detected(&[("app.py", several)]), None);
        assert_eq!(Module::of(several).handlers, ["create", "cancel"]);
    }

    #[test]
    fn an_impossible_file_name_and_a_missing_file_are_different_errors() {
        let module =
            Module::of("import os\ndef main(event, context):\n    def inner(event, context): pass\nif X == 1: pass\n");
        assert!(
            module.may_have("main") && module.may_have("os") && !module.may_have("mian") && !module.may_have("inner")
        );
        assert!(Module::of("from orders import *\n").may_have("anything"));
    }
}
