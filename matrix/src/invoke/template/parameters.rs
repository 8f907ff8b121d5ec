//! Functions of `CloudFormation` in a template, with the values that are known without a deployment: those of the command line, and the defaults of parameters.
//!
//! Sources: "Pseudo parameters reference", "Parameters", "`Fn::Sub`" and "Dynamic references" of `CloudFormation`'s user guide; "Variables" of the Serverless Framework.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The values of parameters by name, such as `AWS::Region`.
pub type Values = BTreeMap<String, String>;

/// The name of what stands for a text with variables of the Serverless Framework.
pub const VARIABLES: &str = "${}";
/// The types of parameters whose default is the name of a value that Systems Manager keeps.
const STORED: &str = "AWS::SSM::Parameter::Value";
/// What begins a reference in a text that `CloudFormation` resolves when it deploys.
const DYNAMIC: &str = "{{resolve:";

/// What a scalar of a template stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scalar {
    Text(String),
    /// Only a deployment has its value.
    Unresolved,
    /// It is null, a list or a mapping.
    Missing,
}

impl Scalar {
    pub fn of(value: &Value) -> Self {
        match value {
            Value::String(text) if text.contains(DYNAMIC) => Self::Unresolved,
            Value::String(text) => Self::Text(text.clone()),
            Value::Number(number) => Self::Text(number.to_string()),
            Value::Bool(flag) => Self::Text(flag.to_string()),
            _ if function(value).is_some() => Self::Unresolved,
            Value::Null | Value::Array(_) | Value::Object(_) => Self::Missing,
        }
    }

    pub fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Unresolved | Self::Missing => None,
        }
    }
}

/// The function of `CloudFormation` that a value is, or that stands for variables, and its argument.
pub fn function(value: &Value) -> Option<(&str, &Value)> {
    let fields = value.as_object().filter(|fields| fields.len() == 1)?;
    let (name, argument) = fields.iter().next()?;
    let is_function = name == "Ref" || name == VARIABLES || name.starts_with("Fn::");
    is_function.then_some((name.as_str(), argument))
}

/// Puts values in the place of functions in a SAM or `CloudFormation` template. What has no known value stays as it is.
pub fn resolve_stack(root: &mut Value, mut values: Values) {
    let parameters = root.get("Parameters").and_then(Value::as_object).into_iter().flatten();
    values.extend(parameters.filter_map(|(name, parameter)| Some((name.clone(), default(parameter)?))));
    replace(root, &values);
}

/// The same in a service of the Serverless Framework, whose variables are left to a deployment.
pub fn resolve_service(root: &mut Value, values: &Values) {
    replace(root, values);
    set_variables_apart(root);
}

fn default(parameter: &Value) -> Option<String> {
    let kind = parameter.get("Type").and_then(Value::as_str).unwrap_or_default();
    let value = parameter.get("Default").filter(|_| !kind.starts_with(STORED))?;
    Scalar::of(value).text()
}

fn replace(value: &mut Value, values: &Values) {
    match value {
        Value::Array(items) => {
            items.retain(|item| !is_no_value(item));
            for item in items {
                replace(item, values);
            }
        }
        Value::Object(fields) => {
            fields.retain(|_, field| !is_no_value(field));
            for field in fields.values_mut() {
                replace(field, values);
            }
            let known = function(value).and_then(|(name, argument)| match name {
                "Ref" => values.get(argument.as_str()?).cloned(),
                "Fn::Sub" => substituted(argument, values),
                _ => None,
            });
            if let Some(text) = known {
                *value = Value::String(text);
            }
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether a value says that there is none.
fn is_no_value(value: &Value) -> bool {
    matches!(function(value), Some(("Ref", Value::String(name))) if name == "AWS::NoValue")
}

/// The text of `Fn::Sub`, if all of its values are known.
fn substituted(argument: &Value, values: &Values) -> Option<String> {
    let none = Map::new();
    let (text, own) = match argument {
        Value::Array(items) => match items.as_slice() {
            [text, Value::Object(own)] => (text.as_str()?, own),
            _ => return None,
        },
        _ => (argument.as_str()?, &none),
    };
    let mut rest = text;
    let mut resolved = String::new();
    while let Some((before, reference)) = rest.split_once("${") {
        let (name, after) = reference.split_once('}')?;
        resolved.push_str(before);
        match (name.strip_prefix('!'), own.get(name)) {
            (Some(literal), _) => resolved.push_str(&format!("${{{literal}}}")),
            (None, Some(value)) => resolved.push_str(&Scalar::of(value).text()?),
            (None, None) => resolved.push_str(values.get(name)?),
        }
        rest = after;
    }
    resolved.push_str(rest);
    Some(resolved)
}

fn set_variables_apart(value: &mut Value) {
    match value {
        Value::String(text) if text.contains("${") => {
            *value = Value::Object([(VARIABLES.to_owned(), value.take())].into_iter().collect());
        }
        Value::Array(items) => items.iter_mut().for_each(set_variables_apart),
        Value::Object(_) if function(value).is_some() => {}
        Value::Object(fields) => fields.values_mut().for_each(set_variables_apart),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn region() -> Values {
        [("AWS::Region".to_owned(), "eu-west-1".to_owned())].into()
    }

    #[test]
    fn known_values_stand_in_the_place_of_functions() {
        let sub = |argument: Value| json!({"Fn::Sub": argument});
        let mut root = json!({
            "Parameters": {
                "Stage": {"Type": "String", "Default": "dev"},
                "Size": {"Default": 3},
                "Open": {"Type": "String"},
                "Secret": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/prod/password"},
            },
            "values": [{"Ref": "Stage"}, {"Ref": "Size"}, sub(json!("arn:${AWS::Region}:${Stage}")), sub(json!("${!Stage}-a")),
                sub(json!(["${Own}-${Stage}", {"Own": {"Ref": "Size"}}])), sub(json!("plain")), {"Ref": "AWS::NoValue"}, "${Stage}-1"],
            "others": [{"Ref": "Open"}, {"Ref": "Secret"}, sub(json!("${Stage}-${Open}")), sub(json!("${open")), {"Fn::GetAtt": ["Queue", "Arn"]},
                sub(json!(["${Own}", {"Own": {"Ref": "Open"}}])), {"Fn::Base64": "a"}],
        });
        let others = root["others"].clone();
        resolve_stack(&mut root, region());
        assert_eq!(
            root["values"],
            json!(["dev", "3", "arn:eu-west-1:dev", "${Stage}-a", "3-dev", "plain", "${Stage}-1"])
        );
        assert_eq!(root["others"], others);
        assert!(others.as_array().unwrap().iter().all(|other| Scalar::of(other) == Scalar::Unresolved));
    }

    #[test]
    fn variables_of_a_service_and_dynamic_references_are_left_to_a_deployment() {
        let mut root = json!({"stage": "${opt:stage}", "list": ["a", "${self:b}"], "region": {"Ref": "AWS::Region"}, "c": {"Fn::Sub": "${self:c}"}});
        resolve_service(&mut root, &region());
        assert_eq!(root["region"], "eu-west-1");
        assert_eq!(root["c"], json!({"Fn::Sub": "${self:c}"}));
        for (value, expected) in [
            (&root["stage"], Scalar::Unresolved),
            (&root["list"][1], Scalar::Unresolved),
            (&root["list"][0], Scalar::Text("a".to_owned())),
            (&root["list"], Scalar::Missing),
            (&json!("{{resolve:ssm:/prod/password}}"), Scalar::Unresolved),
            (&json!({"Ref": "A", "Fn::Sub": "B"}), Scalar::Missing),
            (&json!(true), Scalar::Text("true".to_owned())),
        ] {
            assert_eq!(Scalar::of(value), expected, "{value}");
        }
    }
}
