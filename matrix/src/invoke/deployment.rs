//! The command line with what the function's template adds to it.

use std::fs;
use std::path::{Path, PathBuf};

use super::arguments::{Arguments, Variable};
use super::error::Error;
use super::events;
use super::handlers;
use super::templates::{self, Deployed};
use crate::sample_events;

/// The arguments with the settings of a template below them, and notes for the reader.
pub fn resolved(arguments: &Arguments) -> Result<(Arguments, Vec<String>), Error> {
    let mut arguments = arguments.clone();
    let own: Vec<Variable> = std::mem::take(&mut arguments.environment);
    for file in &arguments.environment_files {
        arguments.environment.extend(variables(file)?);
    }
    arguments.environment.extend(own);
    let Some((path, deployed)) = template(&arguments)? else { return Ok((arguments, Vec::new())) };
    let mut notes = vec![format!("The function is {} of {}.", deployed.name, path.display())];
    if !deployed.unresolved.is_empty() {
        let left_out = deployed.unresolved.join(", ");
        notes.push(format!(
            "Left out, because only a deployment can resolve it (--env and --layer set it here): {left_out}."
        ));
    }
    if deployed.code.is_dir() {
        arguments.function = deployed.code;
    }
    let has_event = !arguments.events.is_empty()
        || !arguments.sample_events.is_empty()
        || arguments.function.join(events::DEFAULT).is_file();
    let sample = deployed.triggers.iter().find_map(|name| sample_events::named(name));
    if let Some(sample) = sample.filter(|_| !has_event) {
        notes.push(format!(
            "The event is the sample of {}, which invokes it by the template; --event and --event-from name another one.",
            sample.name
        ));
        arguments.sample_events.push(sample);
    }
    arguments.handler = arguments.handler.or(deployed.handler);
    arguments.runtime = arguments.runtime.or(deployed.runtime);
    arguments.timeout = arguments.timeout.or(deployed.timeout);
    arguments.memory = arguments.memory.or(deployed.memory);
    let own: Vec<Variable> = std::mem::take(&mut arguments.environment);
    let of_template = deployed.environment.into_iter().map(|(name, value)| Variable { name, value });
    arguments.environment = of_template.chain(own).collect();
    Ok((arguments, notes))
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

/// The template to use with its function. One that only lies beside the function is used if it names one function and the command line none.
fn template(arguments: &Arguments) -> Result<Option<(PathBuf, Deployed)>, Error> {
    let name = arguments.template_function.as_deref();
    if let Some(path) = &arguments.template {
        return Ok(Some((path.clone(), templates::function(path, name)?)));
    }
    let directory = arguments.function.as_path();
    let is_said = arguments.handler.is_some() || arguments.program.is_some() || directory.join("bootstrap").exists();
    let Some(path) = (!is_said).then(|| templates::find(directory)).flatten() else { return Ok(None) };
    match templates::function(&path, name) {
        Ok(deployed) => Ok(Some((path, deployed))),
        Err(_) if name.is_none() && has_handler(directory) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn has_handler(directory: &Path) -> bool {
    handlers::detect(directory).is_some()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn resolve(line: &[&str]) -> Result<(Arguments, Vec<String>), Error> {
        resolved(&Line::try_parse_from(std::iter::once(&"invoke").chain(line)).unwrap().arguments)
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
    fn the_template_beside_the_function_is_used_below_the_command_line() {
        let directory = tempfile::tempdir().unwrap();
        let service = "functions:\n  hello:\n    handler: handler.hello\n    timeout: 6\n    environment: {STAGE: dev}\n    events: [{sqs: 'arn'}]\n";
        fs::write(directory.path().join("serverless.yml"), service).unwrap();
        let path = directory.path().to_str().unwrap();
        let (arguments, notes) = resolve(&[path, "--env", "STAGE=test"]).unwrap();
        assert_eq!((arguments.handler.as_deref(), arguments.timeout), (Some("handler.hello"), Some(6)));
        assert_eq!(shown(&arguments), ["STAGE=dev", "STAGE=test"]);
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
        let (arguments, _) = resolve(&[path, "--handler", "app.main"]).unwrap();
        assert_eq!((arguments.handler.as_deref(), arguments.timeout), (Some("app.main"), None));
        assert!(matches!(resolve(&[path, "--function", "helo"]), Err(Error::Template(_))));
    }
}
