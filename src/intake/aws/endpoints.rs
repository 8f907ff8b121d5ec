//! Endpoints of AWS services, with and without FIPS.

use super::{Error, Service};

/// Regions in which Secrets Manager and Systems Manager have FIPS endpoints; KMS has one there as well. Source: the endpoint data of botocore 1.44.8
/// (`endpoints.json`, and the rule sets of the three services), November 2026. The partitions `aws-cn` and `aws-eusc` have none.
const WITH_FIPS: [&str; 8] =
    ["ca-central-1", "ca-west-1", "us-east-1", "us-east-2", "us-gov-east-1", "us-gov-west-1", "us-west-1", "us-west-2"];
/// Regions in which only KMS has a FIPS endpoint. Source: as above.
const WITH_FIPS_OF_KMS: [&str; 26] = [
    "af-south-1",
    "ap-east-1",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-7",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
];

/// The default URL of a service in a region. With `fips`, the URL of its FIPS endpoint; an error if AWS has none.
pub(super) fn url(service: Service, region: &str, fips: bool) -> Result<String, Error> {
    let name = service.name();
    let domain = match region.split('-').next() {
        Some("cn") => "amazonaws.com.cn",
        Some("eusc") => "amazonaws.eu",
        _ => "amazonaws.com",
    };
    if !fips {
        return Ok(format!("https://{name}.{region}.{domain}/"));
    }
    let is_there = WITH_FIPS.contains(&region) || service == Service::Kms && WITH_FIPS_OF_KMS.contains(&region);
    if !is_there {
        return Err(Error::NoFipsEndpoint { service: name, region: region.to_owned(), setting: service.setting() });
    }
    // In GovCloud, the regular endpoint of Systems Manager is a FIPS endpoint.
    let is_plain = service == Service::Ssm && region.starts_with("us-gov-");
    Ok(format!("https://{name}{}.{region}.{domain}/", if is_plain { "" } else { "-fips" }))
}

impl Service {
    /// The environment variable that sets another endpoint for the service.
    fn setting(self) -> &'static str {
        match self {
            Self::Kms => "AWS_ENDPOINT_URL_KMS",
            Self::SecretsManager => "AWS_ENDPOINT_URL_SECRETS_MANAGER",
            Self::Ssm => "AWS_ENDPOINT_URL_SSM",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_follow_service_region_and_partition() {
        for (service, region, host, fips_host) in [
            (Service::Kms, "eu-west-1", "kms.eu-west-1.amazonaws.com", Some("kms-fips.eu-west-1.amazonaws.com")),
            (
                Service::SecretsManager,
                "us-gov-west-1",
                "secretsmanager.us-gov-west-1.amazonaws.com",
                Some("secretsmanager-fips.us-gov-west-1.amazonaws.com"),
            ),
            (Service::SecretsManager, "eu-west-1", "secretsmanager.eu-west-1.amazonaws.com", None),
            (Service::Ssm, "us-east-1", "ssm.us-east-1.amazonaws.com", Some("ssm-fips.us-east-1.amazonaws.com")),
            (Service::Ssm, "us-gov-east-1", "ssm.us-gov-east-1.amazonaws.com", Some("ssm.us-gov-east-1.amazonaws.com")),
            (Service::Ssm, "cn-north-1", "ssm.cn-north-1.amazonaws.com.cn", None),
            (Service::Kms, "eusc-de-east-1", "kms.eusc-de-east-1.amazonaws.eu", None),
        ] {
            assert_eq!(url(service, region, false).unwrap(), format!("https://{host}/"));
            assert_eq!(url(service, region, true).ok(), fips_host.map(|host| format!("https://{host}/")), "{region}");
        }
    }

    #[test]
    fn a_region_without_fips_endpoint_is_an_error_that_names_the_setting() {
        let error = url(Service::SecretsManager, "eu-west-1", true).unwrap_err().to_string();
        for part in ["secretsmanager", "eu-west-1", "AWS_ENDPOINT_URL_SECRETS_MANAGER"] {
            assert!(error.contains(part), "{part} is not in: {error}");
        }
    }
}
