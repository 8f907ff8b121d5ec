//! AWS Signature Version 4, which authenticates requests to AWS.
//!
//! Source: AWS IAM user guide, "Create a signed AWS API request".

use std::{collections::BTreeMap, fmt::Write as _};

use time::OffsetDateTime;

use super::Credentials;
use crate::intake::tls::{Sha256, hex};

/// A POST request without a query string, to be signed.
#[derive(Debug)]
pub struct Request<'a> {
    /// The value of the `Host` header.
    pub host: &'a str,
    /// Absolute path without characters that need escaping.
    pub path: &'a str,
    /// The region, for example `eu-west-1`.
    pub region: &'a str,
    /// The service, for example `kms`.
    pub service: &'a str,
    /// Headers with names in lower case; all are signed.
    pub headers: &'a [(&'static str, &'a str)],
    /// The body, byte for byte as it will be sent.
    pub body: &'a [u8],
}

/// The headers of the signed request except `Host`, including `Authorization`; names in lower case.
pub fn sign(sha256: Sha256, request: &Request, credentials: &Credentials, now: OffsetDateTime) -> Headers {
    let stamp = stamp(now);
    let date = stamp.split('T').next().unwrap_or_default();
    let mut headers: BTreeMap<&'static str, String> =
        request.headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    headers.insert("host", request.host.to_owned());
    headers.insert("x-amz-date", stamp.clone());
    if let Some(token) = &credentials.session_token {
        headers.insert("x-amz-security-token", token.clone());
    }
    let signed = headers.keys().copied().collect::<Vec<_>>().join(";");
    let mut canonical = format!("POST\n{}\n\n", request.path);
    for (name, value) in &headers {
        let _ = writeln!(canonical, "{name}:{}", value.trim());
    }
    let _ = write!(canonical, "\n{signed}\n{}", hex(&sha256.digest(request.body)));
    let scope = format!("{date}/{}/{}/aws4_request", request.region, request.service);
    let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hex(&sha256.digest(canonical.as_bytes())));
    let secret = format!("AWS4{}", credentials.secret_access_key);
    let key = [date, request.region, request.service, "aws4_request"]
        .iter()
        .fold(secret.into_bytes(), |key, part| sha256.hmac(&key, part.as_bytes()));
    let signature = hex(&sha256.hmac(&key, to_sign.as_bytes()));
    let id = &credentials.access_key_id;
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={signed}, Signature={signature}");
    headers.insert("authorization", authorization);
    headers
}

/// Headers by name.
pub type Headers = BTreeMap<&'static str, String>;

/// The timestamp in the format `20240530T091011Z`.
fn stamp(now: OffsetDateTime) -> String {
    let (date, time) = (now.date(), now.time());
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", time.hour(), time.minute(), time.second())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(service: &str, region: &str, target: &'static str, body: &str, token: Option<&str>) -> Headers {
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: token.map(str::to_owned),
        };
        let request = Request {
            host: &format!("{service}.{region}.amazonaws.com"),
            path: "/",
            region,
            service,
            headers: &[("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target)],
            body: body.as_bytes(),
        };
        let now = OffsetDateTime::from_unix_timestamp(1_717_060_211).unwrap();
        sign(Sha256::of_provider().unwrap(), &request, &credentials, now)
    }

    #[test]
    fn the_signatures_are_those_of_other_clients() {
        let secret =
            |region: &str| format!(r#"{{"SecretId":"arn:aws:secretsmanager:{region}:account-id:secret:secret-name"}}"#);
        let parameter = |region: &str| {
            format!(r#"{{"Name":"arn:aws:ssm:{region}:account-id:parameter/my-parameter","WithDecryption":true}}"#)
        };
        let (get_secret, get_parameter) = ("secretsmanager.GetSecretValue", "AmazonSSM.GetParameter");
        for (service, region, target, body, signature) in [
            (
                "secretsmanager",
                "us-east-1",
                get_secret,
                secret("region"),
                "63d50106f9c0ab1f02c1f81d6c720b01bce369d45f63a8f6280ffe7945405b81",
            ),
            (
                "secretsmanager",
                "us-west-2",
                get_secret,
                secret("us-west-2"),
                "bd77112dd24d7a35566b29a39861f7421660c49b065964212f966db509e90813",
            ),
            (
                "ssm",
                "us-east-1",
                get_parameter,
                parameter("us-east-1"),
                "f45eebacb9f2f575cf1a235c65c97adc1c0d6ca21174044baa0c6457d4518d64",
            ),
            (
                "ssm",
                "eu-west-1",
                get_parameter,
                parameter("eu-west-1"),
                "4bdd2a27b632981c73a70b52ea84e92d3e26fe2c768e9cf18b96630188748b7a",
            ),
        ] {
            let token = Some("AQoDYXdzEJr...<remainder of session token>");
            let headers = signed(service, region, target, &body, token);
            assert_eq!(
                headers["authorization"],
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20240530/{region}/{service}/aws4_request, \
                     SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, Signature={signature}"
                )
            );
            assert_eq!(headers["x-amz-date"], "20240530T091011Z");
        }
    }

    #[test]
    fn credentials_without_a_token_sign_none() {
        let headers = signed("kms", "eu-west-1", "TrentService.Decrypt", "{}", None);
        assert!(!headers.contains_key("x-amz-security-token"));
        assert!(headers["authorization"].contains("SignedHeaders=content-type;host;x-amz-date;x-amz-target,"));
    }
}
