//! Parsers for secrets and their ARNs.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

/// The region of an ARN; None for a bare name.
pub fn region(arn: &str) -> Option<&str> {
    let mut parts = arn.split(':');
    let region = (parts.next() == Some("arn")).then(|| parts.nth(2)).flatten();
    region.filter(|region| !region.is_empty())
}

/// The key in a secret: the field `dd_api_key` or `apiKey` if the secret is a JSON object with one of them, otherwise the whole secret.
pub fn key_in(secret: &str) -> String {
    let object = serde_json::from_str::<Value>(secret).unwrap_or_default();
    let field = ["dd_api_key", "apiKey"].iter().find_map(|name| object.get(*name)?.as_str());
    field.unwrap_or(secret).to_owned()
}

/// The plaintext in a KMS response.
pub fn plaintext(reply: &Value) -> Option<String> {
    let bytes = STANDARD.decode(reply.get("Plaintext")?.as_str()?).ok()?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_arn_has_a_region() {
        assert_eq!(region("arn:aws:secretsmanager:us-west-2:1:secret:s"), Some("us-west-2"));
        assert_eq!(region("arn:aws-cn:ssm:cn-north-1:1:parameter/p"), Some("cn-north-1"));
        for bare in ["", "parameter", "/path/to:a:b:c:d", "arn:aws:ssm::1:parameter/p", "arn:aws"] {
            assert_eq!(region(bare), None, "{bare}");
        }
    }

    #[test]
    fn the_key_stands_in_a_field_or_alone() {
        for (secret, key) in [
            ("0123", "0123"),
            (r#"{"dd_api_key":"a","apiKey":"b"}"#, "a"),
            (r#"{"apiKey":"b","other":1}"#, "b"),
            (r#"{"dd_api_key":5,"apiKey":"b"}"#, "b"),
            (r#"{"other":"c"}"#, r#"{"other":"c"}"#),
            (r#"{"dd_api_key":"a""#, r#"{"dd_api_key":"a""#),
            ("[\"a\"]", "[\"a\"]"),
        ] {
            assert_eq!(key_in(secret), key, "{secret}");
        }
    }

    #[test]
    fn plaintext_is_text_in_base64() {
        let of = |text: &str| plaintext(&serde_json::json!({"Plaintext": text}));
        assert_eq!(of("a2V5"), Some("key".to_owned()));
        assert_eq!(of("/w=="), None, "not UTF-8");
        assert_eq!(of("?"), None);
        assert_eq!(plaintext(&serde_json::json!({})), None);
    }
}
