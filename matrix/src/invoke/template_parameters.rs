//! References of a template to parameters, with the values that are known without a deployment: those of the command line, and the parameters' defaults.
//!
//! Source: "Pseudo parameters reference" and "Parameters" of `CloudFormation`'s user guide.

use std::collections::BTreeMap;

use serde_json::Value;

use super::templates::{INTRINSIC, scalar};

/// The values of parameters by name, such as `AWS::Region`.
pub type Values = BTreeMap<String, String>;

/// Puts values in the place of references. What has no known value stays as it is.
pub fn resolve(root: &mut Value, mut values: Values) {
    let parameters = root.get("Parameters").and_then(Value::as_object).into_iter().flatten();
    let defaults = parameters.filter_map(|(name, parameter)| Some((name.clone(), scalar(parameter.get("Default")?)?)));
    values.extend(defaults);
    replace(root, &values);
}

fn replace(value: &mut Value, values: &Values) {
    match value {
        Value::String(text) => {
            if let Some(resolved) = resolved(text, values) {
                *text = resolved;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, values)),
        Value::Object(fields) => {
            let name = fields.get("Ref").and_then(Value::as_str).filter(|_| fields.len() == 1);
            match name.and_then(|name| values.get(name)) {
                Some(known) => *value = Value::String(known.clone()),
                None => fields.values_mut().for_each(|field| replace(field, values)),
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The text without references, if it has any and the values of all of them are known.
fn resolved(text: &str, values: &Values) -> Option<String> {
    let plain = text.strip_prefix(INTRINSIC);
    if let Some(known) = plain.and_then(|name| values.get(name)) {
        return Some(known.clone());
    }
    let mut rest = plain.unwrap_or(text);
    let mut resolved = String::new();
    while let Some((before, reference)) = rest.split_once("${") {
        let (name, after) = reference.split_once('}')?;
        resolved.push_str(before);
        resolved.push_str(values.get(name)?);
        rest = after;
    }
    resolved.push_str(rest);
    text.contains("${").then_some(resolved)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn known_values_stand_in_the_place_of_references() {
        let reference = |name: &str| format!("{INTRINSIC}{name}");
        let mut root = json!({
            "Parameters": {"Stage": {"Type": "String", "Default": "dev"}, "Size": {"Default": 3}, "Open": {"Type": "String"}},
            "values": [reference("Stage"), {"Ref": "Size"}, reference("arn:${AWS::Region}:${Stage}"), "${Stage}-1", "plain"],
            "others": [reference("Open"), {"Ref": "Open"}, "${Stage}-${Open}", reference("Queue.Arn"), "${open"],
        });
        let others = root["others"].clone();
        resolve(&mut root, [("AWS::Region".to_owned(), "eu-west-1".to_owned())].into());
        assert_eq!(root["values"], json!(["dev", "3", "arn:eu-west-1:dev", "dev-1", "plain"]));
        assert_eq!(root["others"], others);
    }
}
