//! The command line with what the function's template adds to it.

use std::fs;
use std::path::{Path, PathBuf};

use super::arguments::{Arguments, Variable};
use super::error::Error;
use super::events;
use super::handlers;
use super::limits::{self, Range};
use super::template::layers::Layers;
use super::template::parameters::Values;
use super::template::{self, Choice, Code, TemplateFunction};
use crate::{sample_events, terminal};

/// The part of an ARN that is that of Datadog's extension.
const EXTENSION_LAYER: &str = ":layer:Datadog-Extension";

/// The arguments with the settings of a template below them, and notes for the reader.
pub fn resolved(arguments: &Arguments) -> Result<(Arguments, Vec<String>), Error> {
    let mut arguments = arguments.clone();
    let own: Vec<Variable> = std::mem::take(&mut arguments.environment);
    for file in &arguments.environment_files {
        arguments.environment.extend(variables(file)?);
    }
    arguments.environment.extend(own);
    let (path, template_function) = match template(&arguments)? {
        Template::Used { path, function } => (path, *function),
        Template::Unused { reason } => return Ok((arguments, vec![format!("No template is used: {reason}.")])),
        Template::Missing => return Ok((arguments, Vec::new())),
    };
    let mut notes = vec![format!("The function is {} of {}.", template_function.name, path.display())];
    notes.extend(notes_of_settings(&template_function, &arguments));
    notes.extend(notes_of_layers(&template_function.layers, &arguments));
    notes.extend(set_code(&mut arguments, &template_function, &path)?);
    notes.extend(set_event(&mut arguments, &template_function));
    if arguments.opt.is_none() {
        arguments.layers.splice(0..0, template_function.layers.local);
    }
    let number = |own: Option<u32>, setting: &'static str, text: Option<&str>, range: Range| match (own, text) {
        (None, Some(text)) => range.parse(text).map(Some).map_err(|source| {
            let function = template_function.name.clone();
            Error::Setting { template: path.clone(), function, setting, source }
        }),
        _ => Ok(own),
    };
    arguments.timeout = number(arguments.timeout, "timeout", template_function.timeout.as_deref(), limits::TIMEOUT)?;
    arguments.memory = number(arguments.memory, "memory", template_function.memory.as_deref(), limits::MEMORY)?;
    let storage = template_function.ephemeral_storage.as_deref();
    arguments.ephemeral_storage =
        number(arguments.ephemeral_storage, "size of /tmp", storage, limits::EPHEMERAL_STORAGE)?;
    arguments.handler = arguments.handler.or(template_function.handler);
    arguments.runtime = arguments.runtime.or(template_function.runtime);
    arguments.function_name = arguments.function_name.or(template_function.function_name);
    let own: Vec<Variable> = std::mem::take(&mut arguments.environment);
    let of_template = template_function.environment.into_iter().map(|(name, value)| Variable { name, value });
    arguments.environment = of_template.chain(own).collect();
    Ok((arguments, notes))
}

/// Sets the directory of the code to that of the template, and returns what a reader has to know if there is none. A program has its code in itself.
fn set_code(
    arguments: &mut Arguments,
    template_function: &TemplateFunction,
    template: &Path,
) -> Result<Option<String>, Error> {
    let (function, template) = (template_function.name.clone(), template.to_owned());
    let reason = match &template_function.code {
        Code::Place(path) if path.is_dir() => {
            arguments.function.clone_from(path);
            return Ok(None);
        }
        Code::Place(path) if arguments.program.is_some() => format!("{} is no directory", path.display()),
        Code::Place(path) if path.exists() => {
            return Err(Error::PackedCode { path: path.clone(), function, template });
        }
        Code::Place(path) => return Err(Error::MissingCode { path: path.clone(), function, template }),
        Code::Elsewhere(property) => format!("the template's {property} names no directory"),
    };
    Ok(Some(format!("The code is that of {}, because {reason}.", arguments.function.display())))
}

/// Adds the sample of the service that invokes the function, if nothing else says what the event is, and returns what a reader has to know of it.
fn set_event(arguments: &mut Arguments, template_function: &TemplateFunction) -> Option<String> {
    let has_event = !arguments.events.is_empty()
        || !arguments.sample_events.is_empty()
        || arguments.function.join(events::DEFAULT).is_file();
    let sample =
        template_function.triggers.iter().find_map(|name| sample_events::named(name)).filter(|_| !has_event)?;
    arguments.sample_events.push(sample);
    Some(format!(
        "The event is the sample of {}, which invokes it by the template; --event and --event-from name another one.",
        sample.name
    ))
}

/// What a reader has to know of settings of a template that are not used.
fn notes_of_settings(template_function: &TemplateFunction, arguments: &Arguments) -> Vec<String> {
    let is_set = |name: &&String| arguments.environment.iter().any(|variable| variable.name == **name);
    let variables =
        |names: &[String]| names.iter().filter(|name| !is_set(name)).cloned().collect::<Vec<_>>().join(", ");
    let settings: Vec<String> = template_function
        .unresolved_settings
        .iter()
        .filter(|setting| !has(arguments, setting.option))
        .map(|setting| format!("{} (--{})", setting.name, setting.option))
        .collect();
    let notes = [
        (
            "Left out, because only a deployment can resolve it (--env sets it here)",
            variables(&template_function.unresolved),
        ),
        ("Left out, because only a deployment can resolve it (the option sets it here)", settings.join(", ")),
        ("Left out, because it is null, a list or a mapping, and no text", variables(&template_function.no_text)),
        ("The template has a key twice, and the last one counts", template_function.repeated_keys.join(", ")),
    ];
    notes.iter().filter(|(_, names)| !names.is_empty()).map(|(note, names)| format!("{note}: {names}.")).collect()
}

/// Whether the command line has an option that replaces a setting of a template.
fn has(arguments: &Arguments, option: &str) -> bool {
    match option {
        "handler" => arguments.handler.is_some(),
        "runtime" => arguments.runtime.is_some(),
        "timeout" => arguments.timeout.is_some(),
        "memory" => arguments.memory.is_some(),
        "ephemeral-storage" => arguments.ephemeral_storage.is_some(),
        "function-name" => arguments.function_name.is_some(),
        _ => false,
    }
}

/// What a reader has to know of the layers of a template that are not used.
fn notes_of_layers(layers: &Layers, arguments: &Arguments) -> Vec<String> {
    let is_bottlecap = arguments.extension.as_ref().is_none_or(|program| program.ends_with("bottlecap"));
    let has_bottlecap = is_bottlecap && !arguments.no_extension && arguments.opt.is_none();
    let is_replaced = |layer: &&String| has_bottlecap && layer.contains(EXTENSION_LAYER);
    let (replaced, missing): (Vec<&String>, Vec<&String>) = layers.remote.iter().partition(is_replaced);
    let mut notes: Vec<String> =
        replaced.iter().map(|layer| format!("Bottlecap runs in place of the layer {layer}.")).collect();
    if let Some(first) = missing.first() {
        let names = missing.iter().map(|layer| layer.as_str()).collect::<Vec<_>>().join(", ");
        let source = missing.iter().find(|layer| layer.starts_with("arn:")).map_or_else(String::new, |arn| {
            format!(" The zip file of one is at the location that this prints: aws lambda get-layer-version-by-arn --arn {arn} --query Content.Location.")
        });
        let (verb, pronoun) = if missing.len() == 1 { ("is", first.as_str()) } else { ("are", "each") };
        notes.push(format!(
            "Of the template's layers, {names} {verb} not on this machine; --layer with a zip file or a directory stands in for {pronoun}.{source}"
        ));
    }
    let unbuilt = layers.unbuilt.iter();
    notes.extend(unbuilt.map(|layer| format!("The layer {layer} is left out, because `sam build` has not made it.")));
    notes
}

/// The variables of a file: one on each line, as other tools read them too. Empty lines and those that begin with `#` count for nothing.
fn variables(file: &Path) -> Result<Vec<Variable>, Error> {
    let advice = "name a file with NAME=VALUE on each line";
    let text = fs::read_to_string(file).map_err(|source| Error::Read { path: file.to_owned(), advice, source })?;
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let variable = |(number, line): (usize, &str)| {
        let (name, value) = line
            .strip_prefix("export ")
            .unwrap_or(line)
            .split_once('=')
            .ok_or_else(|| Error::EnvironmentFile { path: file.to_owned(), number })?;
        let value = value.trim();
        let quoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        Ok(Variable { name: name.trim().to_owned(), value: quoted.unwrap_or(value).to_owned() })
    };
    lines.map(variable).collect()
}

/// The template of a function.
enum Template {
    Used {
        path: PathBuf,
        function: Box<TemplateFunction>,
    },
    /// It only lies beside the function, and does not say which function that is.
    Unused {
        reason: String,
    },
    Missing,
}

/// The template to use with its function. One that only lies beside the function is used if `--function` names a function of it, or if nothing else says what the
/// function is, and the template's is the only one, or the one with the handler that the directory has.
fn template(arguments: &Arguments) -> Result<Template, Error> {
    let name = arguments.template_function.as_deref();
    let values = pseudo_parameters(arguments);
    let directory = arguments.function.as_path();
    if directory == Path::new("null") {
        return match (&arguments.template, name) {
            (Some(_), _) => Err(Error::NullOption { option: "template" }),
            (_, Some(_)) => Err(Error::NullOption { option: "function" }),
            (None, None) => Ok(Template::Missing),
        };
    }
    if let Some(path) = &arguments.template {
        let function = template::function(path, Choice { name, handler: None }, values)?;
        return Ok(Template::Used { path: path.clone(), function: Box::new(function) });
    }
    let Some(path) = template::find(directory) else {
        return name.map_or(Ok(Template::Missing), |_| Err(Error::NoTemplate(directory.to_owned())));
    };
    if let Some(reason) = other_function(arguments).filter(|_| name.is_none()) {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let reason = format!("{reason}; --function with a name of {file} uses that");
        return Ok(Template::Unused { reason });
    }
    let handler = handlers::detect(directory);
    match template::function(&path, Choice { name, handler: handler.as_deref() }, values) {
        Ok(function) => Ok(Template::Used { path, function: Box::new(function) }),
        Err(error) if name.is_none() && handler.is_some() => {
            Ok(Template::Unused { reason: terminal::chain_in_line(&error) })
        }
        Err(error) => Err(error.into()),
    }
}

/// What says which function it is, besides a template that only lies beside it.
fn other_function(arguments: &Arguments) -> Option<&'static str> {
    if arguments.program.is_some() {
        Some("--program is the function")
    } else if arguments.handler.is_some() {
        Some("--handler names the function")
    } else if arguments.function.join("bootstrap").exists() {
        Some("the directory's `bootstrap` is the function")
    } else {
        None
    }
}

/// What `CloudFormation` knows of where it deploys.
fn pseudo_parameters(arguments: &Arguments) -> Values {
    let values = [("Region", arguments.region.as_str()), ("AccountId", &arguments.account), ("Partition", "aws")];
    values.map(|(name, value)| (format!("AWS::{name}"), value.to_owned())).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_arguments::parse;

    fn resolve(line: &[&str]) -> Result<(Arguments, Vec<String>), Error> {
        resolved(&parse(line))
    }

    fn shown(arguments: &Arguments) -> Vec<String> {
        arguments.environment.iter().map(|variable| format!("{}={}", variable.name, variable.value)).collect()
    }

    #[test]
    fn variables_of_files_come_before_those_of_the_command_line() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("dev.env");
        fs::write(&file, "# of the stage\nSTAGE=dev\nexport NAME=\"a b\"\n\n").unwrap();
        let file = file.to_str().unwrap();
        let (arguments, _) = resolve(&["null", "--env", "STAGE=test", "--env-file", file]).unwrap();
        assert_eq!(shown(&arguments), ["STAGE=dev", "NAME=a b", "STAGE=test"]);
        fs::write(file, "STAGE=dev\nwrong\n").unwrap();
        let error = resolve(&["null", "--env-file", file]).unwrap_err();
        assert!(matches!(error, Error::EnvironmentFile { number: 2, .. }) && error.is_usage(), "{error}");
        assert!(!resolve(&["null", "--env-file", "/nonexistent"]).unwrap_err().is_usage());
    }

    #[test]
    fn template_layers_lie_below_command_line_layers() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("shared")).unwrap();
        let arn = "arn:aws:lambda:eu-west-1:464622532012:layer";
        let template = format!(
            "Globals: {{Function: {{Layers: [!Ref Shared, '{arn}:Datadog-Extension:65', '{arn}:Other:1']}}}}\nResources:\n  \
             Hello: {{Type: AWS::Serverless::Function, Properties: {{Handler: app.main, Layers: ['{arn}:Other:1']}}}}\n  \
             Shared: {{Type: AWS::Serverless::LayerVersion, Properties: {{ContentUri: shared}}}}\n"
        );
        fs::write(directory.path().join("template.yaml"), template).unwrap();
        let path = directory.path().to_str().unwrap();
        let (arguments, notes) = resolve(&[path, "--layer", "other.zip"]).unwrap();
        assert_eq!(arguments.layers, [directory.path().join("shared"), "other.zip".into()]);
        assert_eq!(notes[1], format!("Bottlecap runs in place of the layer {arn}:Datadog-Extension:65."));
        assert!(notes[2].contains(&format!("{arn}:Other:1 is not on this machine; --layer")), "{notes:?}");
        assert_eq!(notes.len(), 3);
        let (_, notes) = resolve(&[path, "--no-extension"]).unwrap();
        assert!(notes[1].contains("are not on this machine"), "{notes:?}");
    }

    #[test]
    fn the_template_beside_the_function_is_used_below_the_command_line() {
        let directory = tempfile::tempdir().unwrap();
        let service = "functions:\n  hello:\n    handler: handler.hello\n    timeout: 6\n    name: shop-hello\n    ephemeralStorageSize: 1024\n    environment: {STAGE: dev, ACCOUNT: '012345678901'}\n    events: [{sqs: 'arn'}]\n";
        fs::write(directory.path().join("serverless.yml"), service).unwrap();
        let path = directory.path().to_str().unwrap();
        let (arguments, notes) = resolve(&[path, "--env", "STAGE=test"]).unwrap();
        assert_eq!((arguments.handler.as_deref(), arguments.timeout), (Some("handler.hello"), Some(6)));
        assert_eq!((arguments.function_name.as_deref(), arguments.ephemeral_storage), (Some("shop-hello"), Some(1024)));
        assert_eq!(shown(&arguments), ["ACCOUNT=012345678901", "STAGE=dev", "STAGE=test"]);
        assert!(notes[0].contains("hello of"), "{notes:?}");
        let sample = |line: &[&str]| {
            let (arguments, notes) = resolve(line).unwrap();
            (arguments.sample_events.first().map(|sample| sample.name), notes.len())
        };
        assert_eq!(sample(&[path]), (Some("sqs"), 2));
        assert_eq!(sample(&[path, "--event-from", "s3"]), (Some("s3"), 1));
        assert_eq!(sample(&[path, "--event", "{}"]), (None, 1));
        fs::write(directory.path().join("event.json"), "{}").unwrap();
        assert_eq!(sample(&[path]), (None, 1));
        let (arguments, notes) = resolve(&[path, "--handler", "app.main"]).unwrap();
        assert_eq!((arguments.handler.as_deref(), arguments.timeout), (Some("app.main"), None));
        assert!(notes[0].starts_with("No template is used: --handler names the function"), "{notes:?}");
        assert!(matches!(resolve(&[path, "--function", "helo"]), Err(Error::Template(_))));
    }

    /// The result of a command line with a directory that has this template and no code but these files.
    fn of_stack(properties: &str, files: &[&str], line: &[&str]) -> Result<(Arguments, Vec<String>), Error> {
        let directory = tempfile::tempdir().unwrap();
        let template = format!(
            "Resources: {{Hello: {{Type: AWS::Serverless::Function, Properties: {{Handler: app.main{properties}}}}}}}\n"
        );
        fs::write(directory.path().join("template.yaml"), template).unwrap();
        for file in files {
            fs::write(directory.path().join(file), "").unwrap();
        }
        resolve(&[&[directory.path().to_str().unwrap()], line].concat())
    }

    #[test]
    fn settings_that_are_left_out_are_noted_unless_an_option_sets_them() {
        let properties = ", MemorySize: !FindInMap [M, a, b], Timeout: !ImportValue x, \
            Environment: {Variables: {AA: !Ref Orders, BB: !Ref Orders, CC: }}";
        let (arguments, notes) = of_stack(properties, &[], &[]).unwrap();
        assert_eq!((arguments.memory, arguments.timeout), (None, None));
        assert!(notes[1].ends_with("(--env sets it here): AA, BB."), "{notes:?}");
        assert!(
            notes[2].ends_with("(the option sets it here): Timeout (--timeout), MemorySize (--memory)."),
            "{notes:?}"
        );
        assert!(notes[3].starts_with("Left out, because it is null") && notes[3].ends_with(": CC."), "{notes:?}");
        let line = ["--memory", "256", "--timeout", "3", "--env", "AA=a", "--env", "BB=b", "--env", "CC=c"];
        let (_, notes) = of_stack(properties, &[], &line).unwrap();
        assert_eq!(notes.len(), 1, "{notes:?}");
        let (_, notes) = of_stack(", Timeout: 3, Timeout: 4", &[], &[]).unwrap();
        assert_eq!(notes[1], "The template has a key twice, and the last one counts: Timeout (line 1).");
    }

    #[test]
    fn numbers_out_of_range_are_errors_of_usage_unless_an_option_sets_them() {
        for (properties, setting, option) in [
            ("MemorySize: 256.0", "memory", ["--memory", "256"]),
            ("MemorySize: 64", "memory", ["--memory", "256"]),
            ("Timeout: abc", "timeout", ["--timeout", "3"]),
            ("Timeout: 901", "timeout", ["--timeout", "3"]),
            ("EphemeralStorage: {Size: 4000000000}", "size of /tmp", ["--ephemeral-storage", "512"]),
            ("EphemeralStorage: {Size: 1}", "size of /tmp", ["--ephemeral-storage", "512"]),
        ] {
            let properties = format!(", {properties}");
            let error = of_stack(&properties, &[], &[]).unwrap_err();
            assert!(error.is_usage() && error.to_string().contains(setting), "{error}");
            assert!(matches!(error, Error::Setting { .. }), "{error}");
            assert!(of_stack(&properties, &[], &option).is_ok(), "{properties}");
        }
    }

    #[test]
    fn code_that_is_no_directory_is_an_error_unless_it_cannot_be_here() {
        assert!(matches!(of_stack(", CodeUri: nowhere/", &[], &[]), Err(Error::MissingCode { .. })));
        assert!(matches!(of_stack(", CodeUri: fn.zip", &["fn.zip"], &[]), Err(Error::PackedCode { .. })));
        let cases: [(&str, &[&str]); 2] =
            [("InlineCode: a", &[]), ("CodeUri: nowhere/", &["--program", "p", "--function", "Hello"])];
        for (property, line) in cases {
            let (_, notes) = of_stack(&format!(", {property}"), &[], line).unwrap();
            assert!(notes[1].starts_with("The code is that of /"), "{notes:?}");
        }
    }

    #[test]
    fn a_template_beside_another_function_is_used_if_its_function_is_named() {
        let cases: [(&[&str], &[&str]); 3] =
            [(&["bootstrap"], &[]), (&[], &["--program", "p"]), (&[], &["--handler", "app.main"])];
        for (files, line) in cases {
            let (arguments, notes) = of_stack(", Timeout: 7", files, line).unwrap();
            assert_eq!(arguments.timeout, None);
            assert!(notes[0].starts_with("No template is used: ") && notes[0].contains("template.yaml"), "{notes:?}");
            let (arguments, _) = of_stack(", Timeout: 7", files, &[line, &["--function", "Hello"]].concat()).unwrap();
            assert_eq!(arguments.timeout, Some(7));
            let wrong = of_stack(", Timeout: 7", files, &[line, &["--function", "Nope"]].concat());
            assert!(matches!(wrong, Err(Error::Template(template::Error::NoFunction { .. }))));
        }
        let empty = tempfile::tempdir().unwrap();
        let path = empty.path().to_str().unwrap();
        for line in [&[path, "--function", "Nope"][..], &[path, "--function", "Nope", "--program", "p"]] {
            let error = resolve(line).unwrap_err();
            assert!(error.is_usage() && matches!(error, Error::NoTemplate(_)), "{error}");
        }
        for line in [["null", "--function", "Nope"], ["null", "--template", "template.yaml"]] {
            assert!(matches!(resolve(&line), Err(Error::NullOption { .. })));
        }
    }

    #[test]
    fn template_function_selected_by_handler() {
        let directory = tempfile::tempdir().unwrap();
        let service = "functions: {hello: {handler: handler.hello, timeout: 6}, other: {handler: other.run}}\n";
        fs::write(directory.path().join("serverless.yml"), service).unwrap();
        let path = directory.path().to_str().unwrap();
        assert!(matches!(resolve(&[path]), Err(Error::Template(_))));
        fs::write(directory.path().join("handler.py"), "def hello(event, context):\n    pass\n").unwrap();
        let (arguments, notes) = resolve(&[path]).unwrap();
        assert_eq!((arguments.timeout, notes.len()), (Some(6), 1));
        fs::write(directory.path().join("handler.py"), "def handler(event, context):\n    pass\n").unwrap();
        let (arguments, notes) = resolve(&[path]).unwrap();
        assert!(arguments.timeout.is_none() && notes[0].contains("--function: hello, other"), "{notes:?}");
    }
}
