//! Reads functions from `template.yaml` of AWS SAM and `CloudFormation`, and from `serverless.yml`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde_json::{Map, Value};

use super::template_events;
use super::template_layers::Layers;
use super::template_numbers;
use super::template_parameters::{self, Values};

/// The files that are looked for in a function's directory.
const FILES: [&str; 4] = ["template.yaml", "template.yml", "serverless.yml", "serverless.yaml"];
/// What marks a value that only a deployment can resolve.
pub(super) const INTRINSIC: &str = "\u{1}";

/// Why a template is not used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the template {} cannot be read", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the template {} is not YAML: {reason}", path.display())]
    Syntax { path: PathBuf, reason: String },
    #[error("the template {} has no function", .0.display())]
    Empty(PathBuf),
    #[error("the template {} has no function {name}; it has {functions}", path.display())]
    NoFunction { path: PathBuf, name: String, functions: String },
    #[error("the template {} has several functions; name one with --function: {functions}", path.display())]
    Several { path: PathBuf, functions: String },
}

/// A function of a template. What the template does not say is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deployed {
    pub name: String,
    pub handler: Option<String>,
    pub runtime: Option<String>,
    /// The directory of its code.
    pub code: PathBuf,
    pub environment: BTreeMap<String, String>,
    /// The timeout in seconds.
    pub timeout: Option<u32>,
    /// The memory in MB.
    pub memory: Option<u32>,
    /// The size of `/tmp` in MB.
    pub ephemeral_storage: Option<u32>,
    /// Its name where it is deployed.
    pub function_name: Option<String>,
    /// What invokes it, as names of sample events.
    pub triggers: Vec<&'static str>,
    pub layers: Layers,
    /// The names of variables that had to be left out, because only a deployment knows their values.
    pub unresolved: Vec<String>,
}

/// The template in a directory, if there is one.
pub fn find(directory: &Path) -> Option<PathBuf> {
    FILES.iter().map(|file| directory.join(file)).find(|file| file.is_file())
}

/// How a function is chosen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choice<'a> {
    /// The name that the user gives.
    pub name: Option<&'a str>,
    /// The handler that was found in the template's directory. It chooses among several functions.
    pub handler: Option<&'a str>,
}

/// The function that is chosen, or the only one. `values` has those of pseudo parameters.
pub fn function(path: &Path, choice: Choice<'_>, values: Values) -> Result<Deployed, Error> {
    let mut functions = read(path, values)?;
    let path = path.to_owned();
    let names = || functions.iter().map(|function| function.name.as_str()).collect::<Vec<_>>().join(", ");
    let has_handler = |function: &Deployed| choice.handler.is_some() && function.handler.as_deref() == choice.handler;
    let index = match choice.name {
        Some(name) => match functions.iter().position(|function| function.name == name) {
            Some(index) => index,
            None => return Err(Error::NoFunction { path, name: name.to_owned(), functions: names() }),
        },
        None if functions.is_empty() => return Err(Error::Empty(path)),
        None if functions.len() > 1 => match functions.iter().position(has_handler) {
            Some(index) => index,
            None => return Err(Error::Several { path, functions: names() }),
        },
        None => 0,
    };
    Ok(functions.swap_remove(index))
}

fn read(path: &Path, values: Values) -> Result<Vec<Deployed>, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let mut root: Value = serde_saphyr::from_str(&marked(&template_numbers::as_deployed(&text)))
        .map_err(|error| Error::Syntax { path: path.to_owned(), reason: first_line(&error.to_string()) })?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(if root.get("Resources").is_some() {
        template_parameters::resolve(&mut root, values);
        of_stack(&root, directory)
    } else {
        of_service(&root, directory)
    })
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// The text with `CloudFormation`'s functions such as `!Ref Table` marked, which YAML takes for the plain value `Table`.
fn marked(text: &str) -> String {
    let Ok(plain) = Regex::new(
        r#"(?m)!(?:Ref|Sub|GetAtt|ImportValue)[ \t]+(?P<value>(?:\$\{[^}\n]*\}|[^\s\[{|>"'#,}\]])(?:\$\{[^}\n]*\}|[^\n#,}\]])*)"#,
    ) else {
        return text.to_owned();
    };
    plain
        .replace_all(text, |found: &regex::Captures<'_>| {
            format!("\"\\u0001{}\"", found["value"].trim().replace(['"', '\\'], " "))
        })
        .into_owned()
}

/// Whether a value has a part that only a deployment resolves.
pub(super) fn is_resolved(text: &str) -> bool {
    !text.contains(INTRINSIC) && !text.contains("${")
}

/// The functions of a SAM or `CloudFormation` template.
fn of_stack(root: &Value, directory: &Path) -> Vec<Deployed> {
    let empty = Map::new();
    let globals = root.pointer("/Globals/Function").unwrap_or(&Value::Null);
    let resources = root.get("Resources").and_then(Value::as_object).unwrap_or(&empty);
    let functions = resources.iter().filter(|(_, resource)| {
        let kind = resource.get("Type").and_then(Value::as_str);
        matches!(kind, Some("AWS::Serverless::Function" | "AWS::Lambda::Function"))
    });
    let function = |(name, resource): (&String, &Value)| {
        let own = resource.get("Properties").unwrap_or(&Value::Null);
        let code = ["/CodeUri", "/Code"].iter().find_map(|path| [own, globals].iter().find_map(|at| text(at, path)));
        let lists = [globals, own].into_iter().filter_map(|of| of.get("Layers"));
        let layers = Layers::of_stack(lists, root, directory);
        let settings = Settings { of: [globals, own], name, directory, layers, triggers: template_events::of_sam(own) };
        settings.deployed(&OF_STACK, code.as_deref())
    };
    functions.map(function).collect()
}

/// The functions of a Serverless Framework service. A handler is the path of a module there, from the service's directory.
fn of_service(root: &Value, directory: &Path) -> Vec<Deployed> {
    let empty = Map::new();
    let provider = root.get("provider").unwrap_or(&Value::Null);
    let functions = root.get("functions").and_then(Value::as_object).unwrap_or(&empty);
    let function = |(name, own): (&String, &Value)| {
        let triggers = template_events::of_serverless(own);
        // Those of a function replace those of all functions.
        let layers = Layers::of_service(own.get("layers").or_else(|| provider.get("layers")), root, directory);
        Settings { of: [provider, own], name, directory, layers, triggers }.deployed(&OF_SERVICE, None)
    };
    functions.iter().map(function).collect()
}

/// Where the settings of a function are.
struct Paths {
    handler: &'static str,
    runtime: &'static str,
    variables: &'static str,
    timeout: &'static str,
    memory: &'static str,
    ephemeral_storage: &'static str,
    function_name: &'static str,
}

const OF_STACK: Paths = Paths {
    handler: "/Handler",
    runtime: "/Runtime",
    variables: "/Environment/Variables",
    timeout: "/Timeout",
    memory: "/MemorySize",
    ephemeral_storage: "/EphemeralStorage/Size",
    function_name: "/FunctionName",
};

const OF_SERVICE: Paths = Paths {
    handler: "/handler",
    runtime: "/runtime",
    variables: "/environment",
    timeout: "/timeout",
    memory: "/memorySize",
    ephemeral_storage: "/ephemeralStorageSize",
    function_name: "/name",
};

/// The settings of a function over those of all functions.
struct Settings<'a> {
    /// The more specific one comes last.
    of: [&'a Value; 2],
    name: &'a str,
    directory: &'a Path,
    layers: Layers,
    triggers: Vec<&'static str>,
}

impl Settings<'_> {
    fn deployed(self, paths: &Paths, code: Option<&str>) -> Deployed {
        let mut unresolved = Vec::new();
        let mut environment = BTreeMap::new();
        for (name, value) in self.of.iter().filter_map(|of| of.pointer(paths.variables)?.as_object()).flatten() {
            match scalar(value).filter(|value| is_resolved(value)) {
                Some(value) => drop(environment.insert(name.clone(), value)),
                None => unresolved.push(name.clone()),
            }
        }
        let number = |path| self.find(path).and_then(|text| text.parse().ok());
        Deployed {
            name: self.name.to_owned(),
            handler: self.find(paths.handler),
            runtime: self.find(paths.runtime),
            code: self.directory.join(code.unwrap_or_default()),
            environment,
            timeout: number(paths.timeout),
            memory: number(paths.memory),
            ephemeral_storage: number(paths.ephemeral_storage),
            // What all functions have, such as the name of the provider, is no name of this one.
            function_name: self.of.last().and_then(|own| text(own, paths.function_name)),
            triggers: self.triggers,
            layers: self.layers,
            unresolved,
        }
    }

    fn find(&self, path: &str) -> Option<String> {
        self.of.iter().rev().find_map(|of| text(of, path))
    }
}

/// A resolved scalar.
pub(super) fn text(value: &Value, path: &str) -> Option<String> {
    value.pointer(path).and_then(scalar).filter(|text| is_resolved(text))
}

pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAM: &str = "\
AWSTemplateFormatVersion: '2010-09-09'
Transform: AWS::Serverless-2016-10-31
Globals:
  Function:
    Timeout: 3
    Runtime: python3.12
    Environment:
      Variables:
        STAGE: dev
Resources:
  HelloWorldFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: hello_world/
      Handler: app.lambda_handler
      MemorySize: 256
      Layers:
        - !Ref Shared
        - !Sub arn:aws:lambda:${AWS::Region}:123456789012:layer:Other:1
      Environment:
        Variables:
          TABLE: !Ref Orders
          URL: !Sub 'https://${Api}.example'
          LIMIT: 10
          DD_SERVICE: shop
  Orders:
    Type: AWS::DynamoDB::Table
";

    const SERVERLESS: &str = "\
service: shop
provider:
  name: aws
  runtime: python3.13
  timeout: 6
  environment: {DD_ENV: dev, STAGE: '${opt:stage}'}
functions:
  hello:
    handler: src/handler.hello
    events:
      - httpApi: 'GET /'
  cancel:
    handler: handler.cancel
    memorySize: 512
";

    fn written(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        (directory, path)
    }

    fn chosen(path: &Path, name: Option<&str>) -> Result<Deployed, Error> {
        let region = ("AWS::Region".to_owned(), "us-east-1".to_owned());
        function(path, Choice { name, handler: None }, Values::from([region]))
    }

    #[test]
    fn a_function_of_a_sam_template_has_the_settings_of_all_and_its_own() {
        let (directory, path) = written("template.yaml", SAM);
        assert_eq!(find(directory.path()).as_deref(), Some(path.as_path()));
        let found = chosen(&path, None).unwrap();
        assert_eq!((found.name.as_str(), found.handler.as_deref()), ("HelloWorldFunction", Some("app.lambda_handler")));
        assert_eq!((found.runtime.as_deref(), found.timeout, found.memory), (Some("python3.12"), Some(3), Some(256)));
        assert_eq!(found.code, directory.path().join("hello_world/"));
        let variables: Vec<_> = found.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(variables, ["DD_SERVICE=shop", "LIMIT=10", "STAGE=dev"]);
        assert_eq!(found.unresolved, ["TABLE", "URL"]);
        assert_eq!(found.layers.remote, ["Shared", "arn:aws:lambda:us-east-1:123456789012:layer:Other:1"]);
    }

    #[test]
    fn a_function_of_a_service_is_chosen_by_name() {
        let (_directory, path) = written("serverless.yml", SERVERLESS);
        let error = chosen(&path, None).unwrap_err().to_string();
        assert!(error.contains("--function: hello, cancel"), "{error}");
        let hello = chosen(&path, Some("hello")).unwrap();
        assert_eq!((hello.handler.as_deref(), hello.timeout), (Some("src/handler.hello"), Some(6)));
        assert_eq!(
            (hello.environment.get("DD_ENV").map(String::as_str), &hello.unresolved),
            (Some("dev"), &vec!["STAGE".to_owned()])
        );
        assert_eq!(hello.triggers, ["apigateway-http"]);
        assert_eq!(chosen(&path, Some("cancel")).unwrap().memory, Some(512));
        assert!(matches!(chosen(&path, Some("helo")), Err(Error::NoFunction { .. })));
        let choice = |handler| function(&path, Choice { name: None, handler: Some(handler) }, Values::new());
        assert_eq!(choice("handler.cancel").unwrap().name, "cancel");
        assert!(matches!(choice("other.handler"), Err(Error::Several { .. })));
    }

    #[test]
    fn what_is_no_template_is_said_to_be_none() {
        let (_directory, path) = written("template.yaml", "Resources: [");
        assert!(matches!(chosen(&path, None), Err(Error::Syntax { .. })));
        let (_directory, path) = written("template.yaml", "Resources: {}");
        assert!(matches!(chosen(&path, None), Err(Error::Empty(_))));
    }
}
