//! Who we are to AWS: the function's role.

use serde::Deserialize;

use super::{Cause, reply};

/// Temporary credentials of the function's role.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Credentials {
    /// The public part.
    pub access_key_id: String,
    /// The secret part.
    pub secret_access_key: String,
    /// What makes them temporary.
    #[serde(rename = "Token")]
    pub session_token: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(redacted)")
    }
}

/// Where they are to be had.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    /// In the environment, as on demand.
    Here(Credentials),
    /// Behind an URL, as in a sandbox that comes from a snapshot: those in the snapshot would be over.
    There { url: String, token: String },
    /// Nowhere.
    Nowhere,
}

/// Looks into the environment.
///
/// Source: AWS Lambda developer guide, "Improving startup performance with Lambda `SnapStart`"; AWS SDKs and tools reference guide, "Container
/// credential provider".
pub fn find(variable: impl Fn(&str) -> Option<String>) -> Place {
    let filled = |name| variable(name).filter(|value| !value.is_empty());
    let session_token = filled("AWS_SESSION_TOKEN");
    if let (Some(access_key_id), Some(secret_access_key)) =
        (filled("AWS_ACCESS_KEY_ID"), filled("AWS_SECRET_ACCESS_KEY"))
    {
        return Place::Here(Credentials { access_key_id, secret_access_key, session_token });
    }
    match (filled("AWS_CONTAINER_CREDENTIALS_FULL_URI"), filled("AWS_CONTAINER_AUTHORIZATION_TOKEN")) {
        (Some(url), Some(token)) => Place::There { url, token },
        _ => Place::Nowhere,
    }
}

/// Fetches them.
pub async fn fetch(http: &reqwest::Client, url: &str, token: &str) -> Result<Credentials, Cause> {
    let request = http.get(url).header(reqwest::header::AUTHORIZATION, token);
    let found: Credentials = serde_json::from_value(reply(request).await?).map_err(|_| Cause::Unexpected)?;
    let session_token = found.session_token.filter(|token| !token.is_empty());
    Ok(Credentials { session_token, ..found })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(variables: &[(&str, &str)]) -> Place {
        find(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_environment_comes_first_and_empty_is_absent() {
        let keys = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret")];
        let there = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://x"), ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "t")];
        let here = |session_token| {
            let (access_key_id, secret_access_key) = ("id".to_owned(), "secret".to_owned());
            Place::Here(Credentials { access_key_id, secret_access_key, session_token })
        };
        assert_eq!(place(&[keys[0], keys[1], there[0], there[1]]), here(None));
        let all = [keys[0], keys[1], ("AWS_SESSION_TOKEN", "session")];
        assert_eq!(place(&all), here(Some("session".to_owned())));
        let url = Place::There { url: "http://x".to_owned(), token: "t".to_owned() };
        assert_eq!(place(&[("AWS_ACCESS_KEY_ID", ""), there[0], there[1]]), url);
        assert_eq!(place(&[there[0], ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")]), Place::Nowhere);
        assert_eq!(format!("{:?}", place(&all)), "Here(Credentials(redacted))");
    }
}
