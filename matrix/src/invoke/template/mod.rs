//! Reads functions from `template.yaml` of AWS SAM and `CloudFormation`, and from `serverless.yml`.

mod events;
pub mod layers;
pub mod parameters;
mod scalars;
mod settings;
mod yaml;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use layers::Layers;
use parameters::{VARIABLES, Values};
use scalars::Schema;
use settings::{SettingPaths, Settings};
use yaml::Document;

/// The files that are looked for in a function's directory.
const FILES: [&str; 4] = ["template.yaml", "template.yml", "serverless.yml", "serverless.yaml"];
/// Maximum size of a template in bytes, sixteen times that of one that `CloudFormation` takes.
const LARGEST: u64 = 16 * 1024 * 1024;

/// Why a template is not used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the template {} cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the template {} has more than 16 MB; a deployment takes 1 MB", .0.display())]
    Large(PathBuf),
    #[error("the template {} cannot be read as YAML", path.display())]
    Syntax { path: PathBuf, source: yaml::Refusal },
    #[error("the template {} has a key twice, which the Serverless Framework refuses: {keys}", path.display())]
    RepeatedKeys { path: PathBuf, keys: String },
    #[error("the template {} has no function", .0.display())]
    Empty(PathBuf),
    #[error(
        "the template {} has its functions in a variable of the Serverless Framework, which only a deployment resolves: {variable}; leave the template out with --handler, or \
         name one with its functions in it with --template",
        path.display()
    )]
    UnresolvedFunctions { path: PathBuf, variable: String },
    #[error("the template {} has no function {name}; it has {functions}", path.display())]
    NoFunction { path: PathBuf, name: String, functions: String },
    #[error("the template {} has several functions; name one with --function: {functions}", path.display())]
    Several { path: PathBuf, functions: String },
}

/// A function of a template. What the template does not say is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TemplateFunction {
    pub name: String,
    pub handler: Option<String>,
    pub runtime: Option<String>,
    pub code: Code,
    pub environment: BTreeMap<String, String>,
    /// The timeout in seconds, as it is written.
    pub timeout: Option<String>,
    /// The memory in MB, as it is written.
    pub memory: Option<String>,
    /// The size of `/tmp` in MB, as it is written.
    pub ephemeral_storage: Option<String>,
    /// Its name where it is deployed.
    pub function_name: Option<String>,
    /// What invokes it, as names of sample events.
    pub triggers: Vec<&'static str>,
    pub layers: Layers,
    /// The names of variables that had to be left out, because only a deployment knows their values.
    pub unresolved: Vec<String>,
    /// Settings that had to be left out for the same reason.
    pub unresolved_settings: Vec<UnresolvedSetting>,
    /// The names of variables that are null, lists or mappings.
    pub no_text: Vec<String>,
    /// The keys that the template has twice, with their lines.
    pub repeated_keys: Vec<String>,
}

/// Where the code of a function is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    Place(PathBuf),
    /// Not on this machine, or in the template, by this property.
    Elsewhere(&'static str),
}

impl Default for Code {
    fn default() -> Self {
        Self::Place(PathBuf::new())
    }
}

/// A setting whose value only a deployment knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnresolvedSetting {
    /// Its name in the template.
    pub name: String,
    /// The option that sets it.
    pub option: &'static str,
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
pub fn function(path: &Path, choice: Choice<'_>, values: Values) -> Result<TemplateFunction, Error> {
    let mut functions = read(path, values)?;
    let path = path.to_owned();
    let names = || functions.iter().map(|function| function.name.as_str()).collect::<Vec<_>>().join(", ");
    let has_handler =
        |function: &TemplateFunction| choice.handler.is_some() && function.handler.as_deref() == choice.handler;
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

fn read(path: &Path, values: Values) -> Result<Vec<TemplateFunction>, Error> {
    let text = text(path)?;
    let document = Document::read(&text).map_err(|source| Error::Syntax { path: path.to_owned(), source })?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !document.has("Resources") {
        if !document.repeated_keys.is_empty() {
            return Err(Error::RepeatedKeys { path: path.to_owned(), keys: document.repeated_keys.join(", ") });
        }
        let mut root = document.value(Schema::Yaml12);
        parameters::resolve_service(&mut root, &values);
        if let Some(variable) = variable_of_functions(&root) {
            return Err(Error::UnresolvedFunctions { path: path.to_owned(), variable: variable.to_owned() });
        }
        return Ok(of_service(&root, directory));
    }
    let mut root = document.value(Schema::Yaml11);
    parameters::resolve_stack(&mut root, values);
    let functions = of_stack(&root, directory).into_iter();
    Ok(functions
        .map(|function| TemplateFunction { repeated_keys: document.repeated_keys.clone(), ..function })
        .collect())
}

fn text(path: &Path) -> Result<String, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let length = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if u64::try_from(length).is_ok_and(|length| length > LARGEST) {
        return Err(Error::Large(path.to_owned()));
    }
    String::from_utf8(bytes).map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))
}

/// The functions of a SAM or `CloudFormation` template.
fn of_stack(root: &Value, directory: &Path) -> Vec<TemplateFunction> {
    let empty = Map::new();
    let globals = root.pointer("/Globals/Function").unwrap_or(&Value::Null);
    let resources = root.get("Resources").and_then(Value::as_object).unwrap_or(&empty);
    let functions = resources.iter().filter(|(_, resource)| {
        let kind = resource.get("Type").and_then(Value::as_str);
        matches!(kind, Some("AWS::Serverless::Function" | "AWS::Lambda::Function"))
    });
    let function = |(name, resource): (&String, &Value)| {
        let own = resource.get("Properties").unwrap_or(&Value::Null);
        let lists = [globals, own].into_iter().filter_map(|of| of.get("Layers"));
        let settings = Settings {
            of: [globals, own],
            name,
            code: settings::code_of_stack(own, globals, directory),
            layers: Layers::of_stack(lists, root, directory),
            triggers: events::of_sam(own),
        };
        settings.template_function(&SettingPaths::OF_STACK)
    };
    functions.map(function).collect()
}

/// The variable that stands in the place of all functions of a service, or of one of several lists of them.
fn variable_of_functions(root: &Value) -> Option<&str> {
    let functions = root.get("functions")?;
    let mut lists = functions.as_array().map_or(std::slice::from_ref(functions), Vec::as_slice).iter();
    lists.find_map(|list| list.get(VARIABLES)?.as_str())
}

/// The functions of a Serverless Framework service. A handler is the path of a module there, from the service's directory.
fn of_service(root: &Value, directory: &Path) -> Vec<TemplateFunction> {
    let empty = Map::new();
    let provider = root.get("provider").unwrap_or(&Value::Null);
    let functions = root.get("functions").and_then(Value::as_object).unwrap_or(&empty);
    let function = |(name, own): (&String, &Value)| {
        // Those of a function replace those of all functions.
        let layers = own.get("layers").or_else(|| provider.get("layers"));
        let settings = Settings {
            of: [provider, own],
            name,
            code: Code::Place(directory.to_owned()),
            layers: Layers::of_service(layers, root, directory),
            triggers: events::of_serverless(own),
        };
        settings.template_function(&SettingPaths::OF_SERVICE)
    };
    functions.iter().map(function).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

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

    fn chosen(path: &Path, name: Option<&str>) -> Result<TemplateFunction, Error> {
        let region = ("AWS::Region".to_owned(), "us-east-1".to_owned());
        function(path, Choice { name, handler: None }, Values::from([region]))
    }

    #[test]
    fn a_function_of_a_sam_template_has_the_settings_of_all_and_its_own() {
        let (directory, path) = written("template.yaml", SAM);
        assert_eq!(find(directory.path()).as_deref(), Some(path.as_path()));
        let found = chosen(&path, None).unwrap();
        assert_eq!((found.name.as_str(), found.handler.as_deref()), ("HelloWorldFunction", Some("app.lambda_handler")));
        assert_eq!(found.runtime.as_deref(), Some("python3.12"));
        assert_eq!((found.timeout.as_deref(), found.memory.as_deref()), (Some("3"), Some("256")));
        assert_eq!(found.code, Code::Place(directory.path().join("hello_world/")));
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
        assert_eq!((hello.handler.as_deref(), hello.timeout.as_deref()), (Some("src/handler.hello"), Some("6")));
        assert_eq!(
            (hello.environment.get("DD_ENV").map(String::as_str), &hello.unresolved),
            (Some("dev"), &vec!["STAGE".to_owned()])
        );
        assert_eq!(hello.triggers, ["apigateway-http"]);
        assert_eq!(chosen(&path, Some("cancel")).unwrap().memory.as_deref(), Some("512"));
        assert!(matches!(chosen(&path, Some("helo")), Err(Error::NoFunction { .. })));
        let choice = |handler| function(&path, Choice { name: None, handler: Some(handler) }, Values::new());
        assert_eq!(choice("handler.cancel").unwrap().name, "cancel");
        assert!(matches!(choice("other.handler"), Err(Error::Several { .. })));
    }

    #[test]
    fn functions_that_only_a_deployment_resolves_are_none() {
        let variable = "${file(functions.yml)}";
        for functions in [variable.to_owned(), format!("[{{hello: {{handler: a.b}}}}, '{variable}']")] {
            let text = format!("provider: {{environment: {{STAGE: prod}}}}\nfunctions: {functions}\n");
            let (_directory, path) = written("serverless.yml", &text);
            for name in [None, Some("hello"), Some("${}")] {
                let error = chosen(&path, name).unwrap_err();
                assert!(matches!(error, Error::UnresolvedFunctions { .. }), "{functions}: {error}");
                assert!(error.to_string().contains(variable), "{error}");
            }
        }
        // The settings of a single one are named instead.
        let (_directory, path) = written("serverless.yml", "functions: {hello: '${file(hello.yml)}'}");
        let found = chosen(&path, None).unwrap();
        assert!(found.unresolved_settings.iter().any(|setting| setting.name == "handler"), "{found:?}");
    }

    #[test]
    fn what_is_no_template_is_said_to_be_none() {
        let (_directory, path) = written("template.yaml", "Resources: [");
        assert!(matches!(chosen(&path, None), Err(Error::Syntax { .. })));
        for empty in ["Resources: {}", "Resources: []", "", "functions: {}", "[Resources]", "{}"] {
            let (_directory, path) = written("template.yaml", empty);
            assert!(matches!(chosen(&path, None), Err(Error::Empty(_))), "{empty}");
        }
        fs::write(&path, vec![b'#'; usize::try_from(LARGEST).unwrap() + 1]).unwrap();
        assert!(matches!(chosen(&path, None), Err(Error::Large(_))));
        fs::write(&path, b"A: \xff").unwrap();
        assert!(matches!(chosen(&path, None), Err(Error::Read { .. })));
        fs::write(&path, "functions: {a: {timeout: 6, timeout: 7}}").unwrap();
        let error = chosen(&path, None).unwrap_err().to_string();
        assert!(error.ends_with("refuses: timeout (line 1)"), "{error}");
    }

    /// The function `Hello` of a stack with these properties.
    fn hello(properties: &str) -> TemplateFunction {
        let template = format!(
            "Parameters:\n  Secret: {{Type: AWS::SSM::Parameter::Value<String>, Default: /prod/password}}\n  Stage: {{Type: String, Default: dev}}\n\
             Globals: {{Function: {{Environment: {{Variables: {{G_OWN: !Ref Orders, G_LOST: all}}}}, Timeout: 9}}}}\n\
             Description: \"Release: 1.2.3, stable\"\nResources:\n  Orders: {{Type: AWS::DynamoDB::Table}}\n  \
             Hello:\n    Type: AWS::Serverless::Function\n    Properties:\n{properties}"
        );
        let (_directory, path) = written("template.yaml", &template);
        chosen(&path, None).unwrap()
    }

    #[test]
    fn what_only_a_deployment_resolves_is_named_and_is_no_value() {
        let found = hello(
            "      Environment:
        Variables:
          G_OWN: own
          G_LOST: !Ref Orders
          T_REF: !Ref \"Orders\"
          T_IMPORT: !ImportValue 'orders-table'
          T_ARN: !GetAtt \"Orders.Arn\"
          T_BASE64: !Base64 hello
          T_SSM: !Ref Secret
          T_DYNAMIC: '{{resolve:secretsmanager:password}}'
          T_IF: !If [IsProd, a, b]
          T_JOIN: {'Fn::Join': ['-', [a, b]]}
          T_SUB: !Sub '${Orders}-${AWS::Region}'
          T_KNOWN: !Sub '${Stage}-${AWS::Region}'
          T_STAGE: !Ref Stage
          T_TEXT: '${Stage}'
          T_FLAG: yes
          T_NULL:
          T_LIST: [a]
          T_NONE: !Ref AWS::NoValue
",
        );
        let shown: Vec<_> = found.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(shown, ["G_OWN=own", "T_FLAG=true", "T_KNOWN=dev-us-east-1", "T_STAGE=dev", "T_TEXT=${Stage}"]);
        let names = "G_LOST T_ARN T_BASE64 T_DYNAMIC T_IF T_IMPORT T_JOIN T_REF T_SSM T_SUB";
        assert_eq!(found.unresolved.join(" "), names);
        assert_eq!(found.no_text, ["T_LIST", "T_NULL"]);
    }

    #[test]
    fn settings_that_only_a_deployment_resolves_are_named() {
        let found = hello(
            "      MemorySize: !FindInMap [M, a, b]
      Timeout: !ImportValue shared-timeout
      Handler: !Sub '${Orders}.main'
      Runtime: python3.12
      FunctionName: !Sub '${AWS::StackName}-hello'
      EphemeralStorage: !If [Big, {Size: 1024}, !Ref AWS::NoValue]
      Layers: !Ref AllLayers
      Environment: {Variables: !If [Big, {A: b}, {}]}
",
        );
        let named: Vec<_> = found.unresolved_settings.iter().map(|setting| setting.name.as_str()).collect();
        let expected = "Environment.Variables Handler Timeout MemorySize EphemeralStorage.Size FunctionName Layers";
        assert_eq!(named.join(" "), expected);
        assert!(found.timeout.is_none() && found.memory.is_none() && found.handler.is_none());
        assert_eq!((found.runtime.as_deref(), found.environment["G_LOST"].as_str()), (Some("python3.12"), "all"));
        let found = hello("      {MemorySize: 256.0, Timeout: abc, EphemeralStorage: {Size: [1]}, Handler: }");
        let shown = [&found.memory, &found.timeout, &found.ephemeral_storage, &found.handler];
        assert_eq!(shown.map(|text| text.as_deref()), [Some("256.0"), Some("abc"), Some("[\"1\"]"), None]);
        assert_eq!(found.unresolved_settings, []);
    }

    #[test]
    fn the_code_is_a_place_or_is_elsewhere() {
        for (property, elsewhere) in [
            ("InlineCode: 'def handler(): 0755'", "InlineCode"),
            ("ImageUri: 1.dkr.ecr.us-east-1.amazonaws.com/a", "ImageUri"),
            ("PackageType: Image", "PackageType"),
            ("CodeUri: s3://bucket/key", "CodeUri"),
            ("CodeUri: {Bucket: a, Key: b}", "CodeUri"),
            ("CodeUri: !Sub '${Orders}/'", "CodeUri"),
            ("Code: {ZipFile: a}", "Code"),
        ] {
            assert_eq!(hello(&format!("      {property}\n")).code, Code::Elsewhere(elsewhere));
        }
        for (property, place) in [("CodeUri: 0755/", "0755/"), ("CodeUri: !Sub '${Stage}'", "dev"), ("Code: a", "a")] {
            let Code::Place(path) = hello(&format!("      {property}\n")).code else { panic!("{property}") };
            assert!(path.ends_with(place), "{path:?}");
        }
    }

    #[test]
    fn a_service_is_read_by_the_rules_of_the_serverless_framework() {
        let service = "\
provider: {name: aws, layers: '${file(layers.yml)}'}
functions:
  hello:
    handler: rt.main
    timeout: ${self:custom.timeout}
    environment:
      T_MODE: 0755
      T_ACCOUNT: 012345678901
      T_EXPONENT: 1e3
      T_SEPARATED: 1_000
      T_FLAG: yes
      T_REGION: !Ref AWS::Region
      T_STAGE: a-${opt:stage}
      T_TEXT: !Join ['-', [a, b]]
  other: {environment: '${file(all.yml)}', layers: []}
";
        let (_directory, path) = written("serverless.yml", service);
        let found = chosen(&path, Some("hello")).unwrap();
        let shown: Vec<_> = found.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let expected =
            "T_ACCOUNT=12345678901 T_EXPONENT=1000 T_FLAG=yes T_MODE=755 T_REGION=us-east-1 T_SEPARATED=1_000";
        assert_eq!(shown.join(" "), expected);
        assert_eq!(found.unresolved, ["T_STAGE", "T_TEXT"]);
        let named = |name: &str| {
            let settings = chosen(&path, Some(name)).unwrap().unresolved_settings;
            settings.iter().map(|setting| setting.name.clone()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!((named("hello"), named("other")), ("timeout layers".to_owned(), "environment".to_owned()));
    }

    #[test]
    fn a_template_in_json_is_read() {
        let json = r#"{"Resources": {"Hello": {"Type": "AWS::Lambda::Function",
            "Properties": {"Timeout": 5, "Environment": {"Variables": {"A": {"Ref": "B"}, "C": 1.50, "D": true}}}}}}"#;
        let (_directory, path) = written("template.json", json);
        let found = chosen(&path, None).unwrap();
        assert_eq!((found.timeout.as_deref(), found.unresolved.as_slice()), (Some("5"), &["A".to_owned()][..]));
        assert_eq!(found.environment, [("C", "1.5"), ("D", "true")].map(|(a, b)| (a.to_owned(), b.to_owned())).into());
    }
}
