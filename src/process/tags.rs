//! The tags that identify the function, on every log and every metric.

use std::{borrow::Cow, collections::BTreeMap};

use crate::{build_info::BUILD_INFO, config::Config, features::TAG_CACHE, platform::environment::Environment};

/// The identity and tags of the function, computed once at startup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionTags {
    /// `AWS_LAMBDA_FUNCTION_NAME`, whatever the customer's tags say; empty if it is not set.
    pub function_name: String,
    /// The unqualified ARN in lower case; the host name of all data that the extension sends.
    pub arn: String,
    /// Sorted; each key once.
    pairs: BTreeMap<String, String>,
    /// The cached tag list, with the switch `tag-cache`.
    kept: Option<Forms>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Forms {
    list: Vec<String>,
    joined: String,
}

impl FunctionTags {
    /// Collects the tags. `account_id` comes from the registration. The customer's tags override the extension's tags of the same key.
    pub fn collect(environment: &Environment, account_id: Option<&str>, config: &Config) -> Self {
        let arn = function_arn(environment, account_id);
        let mut pairs = BTreeMap::new();
        let mut set = |key: &str, value: &str| {
            pairs.insert(key.to_owned(), value.to_owned());
        };
        let account = account_id.unwrap_or("none");
        set("region", &environment.region);
        set("account_id", account);
        set("aws_account", account);
        set("functionname", &environment.function_name);
        set("function_arn", &arn);
        set("resource", &environment.function_name);
        if let Some(version) = environment.function_version.as_deref().filter(|version| *version != "$LATEST") {
            set("resource", &format!("{}:{version}", environment.function_name));
            set("executedversion", version);
        }
        for (key, value) in [
            ("env", config.env.as_deref()),
            ("version", config.version.as_deref()),
            ("init_type", environment.initialization_type.as_deref()),
            ("memorysize", environment.memory_size.as_deref()),
        ] {
            if let Some(value) = value {
                set(key, value);
            }
        }
        if let Some(service) = &config.service {
            set("service", &service.to_lowercase());
        }
        set("architecture", BUILD_INFO.architecture());
        set("dd_extension_version", BUILD_INFO.version);
        for tag in &config.tags {
            set(&tag.key, &tag.value);
        }
        let kept = TAG_CACHE.then(|| {
            let list = list(&pairs);
            Forms { joined: list.join(","), list }
        });
        Self { function_name: environment.function_name.clone(), arn, pairs, kept }
    }

    /// The tags as `key:value`, sorted, each key once.
    pub fn list(&self) -> Cow<'_, [String]> {
        self.kept.as_ref().map_or_else(|| list(&self.pairs).into(), |forms| Cow::from(&forms.list))
    }

    /// Key and value of each, sorted by key.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(key, value)| (&**key, &**value))
    }

    /// The list joined by commas.
    pub fn joined(&self) -> Cow<'_, str> {
        self.kept.as_ref().map_or_else(|| list(&self.pairs).join(",").into(), |forms| Cow::from(&forms.joined))
    }
}

fn list(pairs: &BTreeMap<String, String>) -> Vec<String> {
    pairs.iter().map(|(key, value)| format!("{key}:{value}")).collect()
}

/// The function's ARN, unqualified and in lower case.
///
/// Source: AWS general reference, "Amazon Resource Names". Partitions other than these three have no public Lambda.
fn function_arn(environment: &Environment, account_id: Option<&str>) -> String {
    let region = &environment.region;
    let partition = match region.split('-').next() {
        Some("us") if region.starts_with("us-gov-") => "aws-us-gov",
        Some("cn") => "aws-cn",
        _ => "aws",
    };
    let account = account_id.unwrap_or("none");
    format!("arn:{partition}:lambda:{region}:{account}:function:{}", environment.function_name).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Tag;

    fn environment(variables: &'static [(&str, &str)]) -> Environment {
        Environment::read(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_list_holds_every_key_once_and_sorted() {
        let environment = environment(&[
            ("AWS_LAMBDA_FUNCTION_NAME", "My-Function"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "7"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("AWS_REGION", "eu-west-1"),
        ]);
        let config = Config {
            env: Some("prod".into()),
            service: Some("Shop".into()),
            version: Some("1.10".into()),
            ..Config::default()
        };
        let tags = FunctionTags::collect(&environment, Some("123456789012"), &config);
        let expected = format!(
            "account_id:123456789012,architecture:{},aws_account:123456789012,dd_extension_version:{},env:prod,executedversion:7,\
             function_arn:arn:aws:lambda:eu-west-1:123456789012:function:my-function,functionname:My-Function,init_type:on-demand,\
             memorysize:128,region:eu-west-1,resource:My-Function:7,service:shop,version:1.10",
            BUILD_INFO.architecture(),
            BUILD_INFO.version
        );
        assert_eq!(tags.joined(), expected);
        assert_eq!(tags.list().join(","), expected);
        let other = FunctionTags {
            kept: if tags.kept.is_some() {
                None
            } else {
                Some(Forms { list: tags.list().into_owned(), joined: tags.joined().into_owned() })
            },
            ..tags.clone()
        };
        assert_eq!(
            (other.list(), other.joined()),
            (tags.list(), tags.joined()),
            "both states of the switch say the same"
        );
    }

    #[test]
    fn the_customers_tags_win() {
        let tag = |key: &str, value: &str| Tag { key: key.to_owned(), value: value.to_owned() };
        let config =
            Config { env: Some("prod".into()), tags: vec![tag("env", "mine"), tag("team", "a")], ..Config::default() };
        let tags = FunctionTags::collect(&environment(&[]), None, &config);
        assert!(tags.list().contains(&"env:mine".to_owned()));
        assert!(!tags.list().contains(&"env:prod".to_owned()));
        assert!(tags.list().contains(&"team:a".to_owned()));
    }

    #[test]
    fn an_unknown_account_reads_none_and_the_partition_follows_the_region() {
        let arn = |region: &'static str| {
            let environment =
                Environment { region: region.to_owned(), ..environment(&[("AWS_LAMBDA_FUNCTION_NAME", "f")]) };
            FunctionTags::collect(&environment, None, &Config::default()).arn
        };
        assert_eq!(arn("us-east-1"), "arn:aws:lambda:us-east-1:none:function:f");
        assert_eq!(arn("us-gov-west-1"), "arn:aws-us-gov:lambda:us-gov-west-1:none:function:f");
        assert_eq!(arn("cn-north-1"), "arn:aws-cn:lambda:cn-north-1:none:function:f");
    }

    #[test]
    fn the_latest_version_is_no_qualifier() {
        let environment = environment(&[("AWS_LAMBDA_FUNCTION_NAME", "f"), ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")]);
        let tags = FunctionTags::collect(&environment, None, &Config::default());
        assert!(tags.list().contains(&"resource:f".to_owned()));
        assert!(!tags.joined().contains("executedversion"));
    }
}
