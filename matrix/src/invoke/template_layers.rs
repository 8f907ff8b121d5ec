//! The layers of a function in a template: those that lie on this machine, and those that only a deployment has.
//!
//! Sources: `AWS::Serverless::LayerVersion` and `AWS::Lambda::LayerVersion` of AWS's template references, and "AWS Lambda Layers" of the Serverless Framework.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::templates::{INTRINSIC, is_resolved, text};

/// The layers of a function, in the order in which Lambda lays them over each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layers {
    /// Directories with the contents of `/opt`, and zip files of them.
    pub local: Vec<PathBuf>,
    /// What is not on this machine: ARNs, and names of resources.
    pub remote: Vec<String>,
    /// Resources whose contents `sam build` makes, and has not made yet.
    pub unbuilt: Vec<String>,
}

/// A layer as a template names it.
enum Named {
    /// A resource of the template, or a parameter.
    Resource(String),
    /// A path or an ARN.
    Text(String),
}

impl Layers {
    /// Those in the lists of a SAM or `CloudFormation` template in `directory`.
    pub fn of_stack<'v>(lists: impl Iterator<Item = &'v Value>, root: &Value, directory: &Path) -> Self {
        let mut layers = Self::default();
        for layer in lists.filter_map(Value::as_array).flatten().filter_map(Named::of) {
            match layer {
                Named::Resource(name) => layers.add_resource(&name, root, directory),
                Named::Text(text) => layers.add_path(&text, Some(text.as_str()), directory),
            }
        }
        layers
    }

    /// Those in the list of a service of the Serverless Framework in `directory`.
    pub fn of_service(list: Option<&Value>, root: &Value, directory: &Path) -> Self {
        let mut layers = Self::default();
        for layer in list.and_then(Value::as_array).into_iter().flatten().filter_map(Named::of) {
            match layer {
                Named::Resource(name) => layers.add_path(&name, of_service(&name, root).as_deref(), directory),
                Named::Text(text) => layers.add_path(&text, Some(text.as_str()), directory),
            }
        }
        layers
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
        let place = path.filter(|path| is_resolved(path)).map(|path| directory.join(path));
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

impl Named {
    fn of(value: &Value) -> Option<Self> {
        let word = |value: &Value| value.as_str().map(str::to_owned);
        let Some(text) = value.as_str() else {
            // `Ref` and `Fn::Sub` in full; of the others, the name in a list is the first.
            let (_, argument) = value.as_object()?.iter().next()?;
            let name = word(argument).or_else(|| argument.as_array()?.first().and_then(word));
            return Some(Self::of_reference(name.unwrap_or_else(|| argument.to_string())));
        };
        Some(match text.strip_prefix(INTRINSIC) {
            Some(name) => Self::of_reference(name.to_owned()),
            None => Self::Text(text.to_owned()),
        })
    }

    /// A reference by `Ref` is the name of a resource, one by `Fn::GetAtt` has the name of an attribute after it, and one by `Fn::Sub` may be an ARN.
    fn of_reference(text: String) -> Self {
        if text.contains(':') {
            return Self::Text(text);
        }
        Self::Resource(text.split('.').next().unwrap_or_default().to_owned())
    }
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
        let reference = format!("{INTRINSIC}Shared");
        let global = json!([ARN, {"Ref": "Zipped"}]);
        let own = json!([reference, ARN, {"Ref": "Built"}, {"Ref": "Unbuilt"}, {"Fn::GetAtt": ["Stored", "Arn"]},
            {"Fn::Sub": "arn:aws:lambda:${AWS::Region}:1:layer:Other:1"}, "./shared/../layer.zip"]);
        let directory = directory();
        let layers = Layers::of_stack([&global, &own].into_iter(), &root, directory.path());
        let expected = ["layer.zip", "shared/", ".aws-sam/build/Built", "./shared/../layer.zip"];
        assert_eq!(layers.local, expected.map(|place| directory.path().join(place)));
        assert_eq!(layers.remote, [ARN, "Stored", "arn:aws:lambda:${AWS::Region}:1:layer:Other:1"]);
        assert_eq!(layers.unbuilt, ["Unbuilt"]);
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
