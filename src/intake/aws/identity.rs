//! A proof of the role's identity that Datadog can verify: a signed `GetCallerIdentity` request, which the extension itself never sends.
//!
//! Source: AWS Security Token Service API reference, "`GetCallerIdentity`".

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use time::OffsetDateTime;

use super::{Credentials, signature};
use crate::intake::tls::Sha256;

const BODY: &str = "Action=GetCallerIdentity&Version=2011-06-15";
const CONTENT_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// The proof for an organization: body, headers, method and URL, separated by `|`. All except the method are in base64.
pub fn proof(
    sha256: Sha256,
    region: &str,
    organization: &str,
    credentials: &Credentials,
    now: OffsetDateTime,
) -> String {
    let host = format!("sts.{region}.amazonaws.com");
    let request = signature::Request {
        host: &host,
        path: "/",
        region,
        service: "sts",
        headers: &[("content-type", CONTENT_TYPE), ("x-ddog-org-id", organization)],
        body: BODY.as_bytes(),
    };
    let headers = signature::sign(sha256, &request, credentials, now);
    let headers: BTreeMap<String, [String; 1]> =
        headers.into_iter().map(|(name, value)| (capitalized(name), [value])).collect();
    // Serializing a map of strings cannot fail.
    let headers = serde_json::to_string(&headers).unwrap_or_default();
    let parts = [BODY, &headers, &format!("https://{host}")].map(|part| STANDARD.encode(part));
    let [body, headers, url] = parts;
    format!("{body}|{headers}|POST|{url}")
}

/// Capitalizes a header name: `x-amz-date` becomes `X-Amz-Date`.
fn capitalized(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    });
    words.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parts(organization: &str, token: Option<&str>) -> Vec<String> {
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: token.map(str::to_owned),
        };
        let now = OffsetDateTime::from_unix_timestamp(1_717_060_211).unwrap();
        let proof = proof(Sha256::of_provider().unwrap(), "eu-west-1", organization, &credentials, now);
        proof.split('|').map(str::to_owned).collect()
    }

    fn decoded(part: &str) -> String {
        String::from_utf8(STANDARD.decode(part).unwrap()).unwrap()
    }

    #[test]
    fn a_proof_is_a_signed_question_that_names_the_organization() {
        let [body, headers, method, url] = &parts("org-1", Some("token"))[..] else { panic!("four parts") };
        assert_eq!(decoded(body), "Action=GetCallerIdentity&Version=2011-06-15");
        assert_eq!((method.as_str(), decoded(url).as_str()), ("POST", "https://sts.eu-west-1.amazonaws.com"));
        let text = decoded(headers);
        let headers: Value = serde_json::from_str(&text).unwrap();
        let names: Vec<_> = headers.as_object().unwrap().keys().map(String::as_str).collect();
        let all = ["Authorization", "Content-Type", "Host", "X-Amz-Date", "X-Amz-Security-Token", "X-Ddog-Org-Id"];
        assert_eq!(names, all);
        assert_eq!(headers["X-Ddog-Org-Id"], json!(["org-1"]));
        assert_eq!(headers["Host"], json!(["sts.eu-west-1.amazonaws.com"]));
        assert_eq!(headers["X-Amz-Security-Token"], json!(["token"]));
        assert_eq!(headers["X-Amz-Date"], json!(["20240530T091011Z"]));
        let authorization = headers["Authorization"][0].as_str().unwrap();
        let signed = "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-ddog-org-id,";
        assert!(authorization.contains(signed), "{authorization}");
        assert!(authorization.contains("Credential=AKIDEXAMPLE/20240530/eu-west-1/sts/aws4_request"));
    }

    #[test]
    fn delegated_proof_has_the_token_of_its_organization() {
        let headers = |organization| decoded(&parts(organization, None)[1]);
        assert!(!headers("org-1").contains("Security-Token"));
        let signature = |headers: &str| headers.split("Signature=").nth(1).map(str::to_owned).unwrap();
        assert_ne!(signature(&headers("org-1")), signature(&headers("org-2")));
    }
}
