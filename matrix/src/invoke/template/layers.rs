//! The layers of a function in a template: those that lie on this machine, and those that only a deployment has.
//!
//! Sources: `AWS::Serverless::LayerVersion` and `AWS::Lambda::LayerVersion` of AWS's template references, and "AWS Lambda Layers" of the Serverless Framework.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::parameters::{self, Scalar, VARIABLES};

/// The layers of a function, in the order in which Lambda lays them over each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layers {
    /// Directories with the contents of `/opt`, and zip files of them.
    pub local: Vec<PathBuf>,
    /// What is not on this machine: ARNs, and names of resources.
    pub remote: Vec<String>,
    /// Resources whose contents `sam build` makes, and has not made yet.
    pub unbuilt: Vec<String>,
    /// Whether only a deployment knows which layers there are.
    pub is_unresolved: bool,
}

/// A layer as a template names it.
enum LayerReference {
    /// A resource of the template, or a parameter.
    Resource(String),
    /// A path or an ARN.
    Text(String),
    /// What only a deployment knows, as it is written.
    Unresolved(String),
}

impl Layers {
    /// Those in the lists of a SAM or `CloudFormation` template in `directory`.
    pub fn of_stack<'v>(lists: impl Iterator<Item = &'v Value>, root: &Value, directory: &Path) -> Self {
        let mut layers = Self::default();
        for layer in lists.flat_map(|list| layers.named(list)).collect::<Vec<_>>() {
            match layer {
                LayerReference::Resource(name) => layers.add_resource(&name, root, directory),
                LayerReference::Text(text) => layers.add_path(&text, Some(text.as_str()), directory),
                LayerReference::Unresolved(text) => layers.add_path(&text, None, directory),
            }
        }
        layers
    }

    /// Those in the list of a service of the Serverless Framework in `directory`.
    pub fn of_service(list: Option<&Value>, root: &Value, directory: &Path) -> Self {
        let mut layers = Self::default();
        for layer in list.map(|list| layers.named(list)).unwrap_or_default() {
            match layer {
                LayerReference::Resource(name) => layers.add_path(&name, of_service(&name, root).as_deref(), directory),
                LayerReference::Text(text) => layers.add_path(&text, Some(text.as_str()), directory),
                LayerReference::Unresolved(text) => layers.add_path(&text, None, directory),
            }
        }
        layers
    }

    fn named(&mut self, list: &Value) -> Vec<LayerReference> {
        self.is_unresolved |= parameters::function(list).is_some();
        let Value::String(text) = list else {
            return list.as_array().into_iter().flatten().filter_map(LayerReference::of).collect();
        };
        // The value of a parameter that is a list.
        let layers = text.split(',').map(str::trim).filter(|layer| !layer.is_empty());
        layers.filter_map(|layer| LayerReference::of(&Value::String(layer.to_owned()))).collect()
    }

    fn add_resource(&mut self, name: &str, root: &Value, directory: &Path) {
        let resource = root.get("Resources").and_then(|resources| resources.get(name)).unwrap_or(&Value::Null);
        if resource.pointer("/Metadata/BuildMethod").is_none() {
            let content =
                ["/Properties/ContentUri", "/Properties/Content"].iter().find_map(|path| text(resource, path));
            return self.add_path(name, content.as_deref(), directory);
        }
        // `sam build` writes its results below the template, and a template whose paths lead to them.
        let built = [".aws-sam/build", ""].iter().map(|place| directory.join(place).join(name));
        match built.into_iter().find(|place| place.is_dir()) {
            Some(built) => self.add(built),
            None => self.unbuilt.extend(Some(name.to_owned()).filter(|name| !self.unbuilt.contains(name))),
        }
    }

    /// Adds the layer `name`, whose contents are at `path` as far as the template says.
    fn add_path(&mut self, name: &str, path: Option<&str>, directory: &Path) {
        let place = path.map(|path| directory.join(path));
        match place.filter(|place| place.exists()) {
            Some(place) => self.add(place),
            None => self.remote.extend(Some(name.to_owned()).filter(|name| !self.remote.contains(name))),
        }
    }

    fn add(&mut self, place: PathBuf) {
        if !self.local.contains(&place) {
            self.local.push(place);
        }
    }
}

impl LayerReference {
    fn of(value: &Value) -> Option<Self> {
        let Some((function, argument)) = parameters::function(value) else {
            return match Scalar::of(value) {
                Scalar::Text(text) => Some(Self::Text(text)),
                Scalar::Unresolved => value.as_str().map(|text| Self::Unresolved(text.to_owned())),
                Scalar::Missing => None,
            };
        };
        let parts = argument.as_array().map_or(std::slice::from_ref(argument), Vec::as_slice);
        let first = parts.first().and_then(Value::as_str);
        Some(match (function, first) {
            ("Ref", Some(name)) => Self::Resource(name.to_owned()),
            // The name of an attribute is after it.
            ("Fn::GetAtt", Some(name)) => Self::Resource(name.split('.').next().unwrap_or_default().to_owned()),
            ("Fn::Sub" | VARIABLES, Some(text)) => Self::of_substitution(text),
            (_, Some(name)) => Self::Unresolved(name.to_owned()),
            (_, None) => Self::Unresolved(argument.to_string()),
        })
    }

    /// A text that is one reference is that.
    fn of_substitution(text: &str) -> Self {
        let name = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        match name.filter(|name| name.chars().all(char::is_alphanumeric)) {
            Some(name) => Self::Resource(name.to_owned()),
            None => Self::Unresolved(text.to_owned()),
        }
    }
}

/// The text at a place of a resource or a layer.
fn text(value: &Value, path: &str) -> Option<String> {
    value.pointer(path).and_then(|value| Scalar::of(value).text())
}

/// The path of the layer of a service whose resource is called `name`.
fn of_service(name: &str, root: &Value) -> Option<String> {
    let layers = root.get("layers")?.as_object()?;
    let (_, layer) = layers.iter().find(|(layer, _)| resource_of(layer) == name)?;
    ["/path", "/package/artifact"].iter().find_map(|path| text(layer, path))
}

/// The name of the resource that the Serverless Framework makes of a layer.
fn resource_of(layer: &str) -> String {
    let name = layer.replace('-', "Dash").replace('_', "Underscore");
    let (first, rest) = name.split_at_checked(1).unwrap_or(("", name.as_str()));
    format!("{}{rest}LambdaLayer", first.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    const ARN: &str = "arn:aws:lambda:eu-west-1:123456789012:layer:Shared:7";

    fn directory() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for layer in ["shared", ".aws-sam/build/Built"] {
            fs::create_dir_all(directory.path().join(layer)).unwrap();
        }
        fs::write(directory.path().join("layer.zip"), "").unwrap();
        directory
    }

    #[test]
    fn layers_of_the_template_are_local_and_others_are_named() {
        let root = json!({"Resources": {
            "Shared": {"Type": "AWS::Serverless::LayerVersion", "Properties": {"ContentUri": "shared/"}},
            "Zipped": {"Type": "AWS::Lambda::LayerVersion", "Properties": {"Content": "layer.zip"}},
            "Stored": {"Type": "AWS::Lambda::LayerVersion", "Properties": {"Content": {"S3Bucket": "b"}}},
            "Built": {"Properties": {"ContentUri": "shared/"}, "Metadata": {"BuildMethod": "python3.12"}},
            "Unbuilt": {"Properties": {"ContentUri": "shared/"}, "Metadata": {"BuildMethod": "python3.12"}},
        }});
        let global = json!([ARN, {"Ref": "Zipped"}]);
        let own = json!([{"Fn::Sub": "${Shared}"}, ARN, {"Ref": "Built"}, {"Ref": "Unbuilt"}, {"Fn::GetAtt": ["Stored", "Arn"]},
            {"Fn::Sub": "arn:aws:lambda:${AWS::Region}:1:layer:Other:1"}, "./shared/../layer.zip"]);
        let directory = directory();
        let layers = Layers::of_stack([&global, &own].into_iter(), &root, directory.path());
        let expected = ["layer.zip", "shared/", ".aws-sam/build/Built", "./shared/../layer.zip"];
        assert_eq!(layers.local, expected.map(|place| directory.path().join(place)));
        assert_eq!(layers.remote, [ARN, "Stored", "arn:aws:lambda:${AWS::Region}:1:layer:Other:1"]);
        assert_eq!(layers.unbuilt, ["Unbuilt"]);
    }

    #[test]
    fn layers_of_a_list_parameter_are_those_of_its_default() {
        let mut root = json!({
            "Parameters": {"Shared": {"Type": "CommaDelimitedList", "Default": format!("{ARN}, arn:other,shared/")}},
            "Globals": {"Function": {"Layers": {"Ref": "Shared"}}},
        });
        parameters::resolve_stack(&mut root, parameters::Values::new());
        let directory = directory();
        let lists = root.pointer("/Globals/Function/Layers").into_iter();
        let layers = Layers::of_stack(lists, &root, directory.path());
        assert_eq!(layers.remote, [ARN, "arn:other"]);
        assert_eq!(layers.local, [directory.path().join("shared/")]);
        assert!(!layers.is_unresolved);
    }

    #[test]
    fn a_layer_of_a_service_is_found_by_the_name_of_its_resource() {
        let root =
            json!({"layers": {"shared-code": {"path": "shared"}, "zipped": {"package": {"artifact": "layer.zip"}}}});
        let list = json!([{"Ref": "SharedDashcodeLambdaLayer"}, {"Ref": "ZippedLambdaLayer"},
            {"Ref": "PythonRequirementsLambdaLayer"}, ARN]);
        let directory = directory();
        let layers = Layers::of_service(Some(&list), &root, directory.path());
        assert_eq!(layers.local, ["shared", "layer.zip"].map(|place| directory.path().join(place)));
        assert_eq!(layers.remote, ["PythonRequirementsLambdaLayer", ARN]);
        assert_eq!(Layers::of_service(None, &root, directory.path()), Layers::default());
    }
}
