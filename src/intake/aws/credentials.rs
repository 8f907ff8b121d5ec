//! AWS credentials of the function's role.

use std::{
    io,
    net::IpAddr,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use reqwest::Url;
use serde::Deserialize;

use super::{AwsErrorKind, HttpClient, TIMEOUT, reply};
use crate::os::{file, thread::run_blocking, timeout::timeout_awake};

/// Temporary credentials of the function's role.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Credentials {
    /// The access key id, which is not secret.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: String,
    /// The session token of temporary credentials.
    #[serde(rename = "Token")]
    pub session_token: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(redacted)")
    }
}

/// The source of credentials.
#[derive(Debug, PartialEq, Eq)]
pub enum CredentialSource {
    /// Environment variables, as in on-demand sandboxes.
    Environment(Credentials),
    /// A credentials URL, as in a sandbox restored from a snapshot, where credentials in the environment would have expired.
    Container { url: String, token: Token },
    /// There is no source of credentials.
    Absent,
}

/// The authorization token for the credentials URL.
#[derive(Clone, PartialEq, Eq)]
pub enum Token {
    /// The token itself.
    Text(String),
    /// A file with the token, and the fallback if it cannot be read. The file is read for every request, because its content changes from time to
    /// time.
    File { path: PathBuf, otherwise: Option<String> },
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(redacted)")
    }
}

/// Maximum size of a token file in bytes.
const MAX_TOKEN_BYTES: usize = 64 << 10;

/// Finds the source of credentials in the environment.
///
/// Source: AWS Lambda developer guide, "Improving startup performance with Lambda `SnapStart`"; AWS SDKs and tools reference guide, "Container
/// credential provider", for the file.
pub fn find(variable: impl Fn(&str) -> Option<String>) -> CredentialSource {
    let filled = |name| variable(name).filter(|value| !value.is_empty());
    let session_token = filled("AWS_SESSION_TOKEN");
    if let (Some(access_key_id), Some(secret_access_key)) =
        (filled("AWS_ACCESS_KEY_ID"), filled("AWS_SECRET_ACCESS_KEY"))
    {
        return CredentialSource::Environment(Credentials { access_key_id, secret_access_key, session_token });
    }
    let text = filled("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    let token = match filled("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(path) => Some(Token::File { path: path.into(), otherwise: text }),
        None => text.map(Token::Text),
    };
    match (filled("AWS_CONTAINER_CREDENTIALS_FULL_URI"), token) {
        (Some(url), Some(token)) => CredentialSource::Container { url, token },
        _ => CredentialSource::Absent,
    }
}

/// Hosts that may get the token and send the credentials without TLS, beside addresses of this machine. They are those of the agents of Amazon ECS
/// and Amazon EKS, which are link-local. Other names are refused even where they resolve to this machine: a name can resolve differently the next time.
///
/// Source: AWS SDKs and tools reference guide, "Container credential provider".
const PLAINTEXT_HOSTS: [&str; 4] = ["localhost", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];

/// The URL, if it has TLS or the request does not leave the machine.
fn protected(url: &str) -> Result<Url, AwsErrorKind> {
    let url = Url::parse(url).map_err(|_| AwsErrorKind::Url)?;
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_local = address.is_ok_and(|address| address.is_loopback()) || PLAINTEXT_HOSTS.contains(&host);
    if url.scheme() == "https" || is_local { Ok(url) } else { Err(AwsErrorKind::Plaintext { host: host.to_owned() }) }
}

/// Fetches credentials from the URL.
pub async fn fetch(http: &HttpClient, url: &str, token: &Token) -> Result<Credentials, AwsErrorKind> {
    let url = protected(url)?;
    let request = http.get(url).header(reqwest::header::AUTHORIZATION, token.read().await?);
    let found = serde_json::from_value(reply(http, request).await?);
    let found: Credentials = found.map_err(|_| AwsErrorKind::Unexpected)?;
    let session_token = found.session_token.filter(|token| !token.is_empty());
    Ok(Credentials { session_token, ..found })
}

impl Token {
    async fn read(&self) -> Result<String, AwsErrorKind> {
        let (path, otherwise) = match self {
            Self::Text(text) => return Ok(text.clone()),
            Self::File { path, otherwise } => (path.clone(), otherwise),
        };
        let file = path.clone();
        // A file system may be slow, so a separate thread reads the file.
        let read = run_blocking("token", move || file::read_text(&file, MAX_TOKEN_BYTES));
        Self::choose(path, async { read.await.flatten() }, otherwise.as_ref()).await
    }

    /// The content of the file, or the fallback if reading fails or takes longer than [`TIMEOUT`].
    async fn choose(
        path: PathBuf,
        read: impl Future<Output = io::Result<String>>,
        otherwise: Option<&String>,
    ) -> Result<String, AwsErrorKind> {
        /// Limits the warning to one, because the file is read again for every credentials request.
        static WARNED: AtomicBool = AtomicBool::new(false);
        let read = timeout_awake(TIMEOUT, read).await;
        let unusable = |source| AwsErrorKind::TokenFile { path: path.clone(), source };
        match read.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into())) {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(source) => match otherwise {
                Some(token) => {
                    if !WARNED.swap(true, Ordering::Relaxed) {
                        tracing::warn!("{}; using AWS_CONTAINER_AUTHORIZATION_TOKEN", unusable(source));
                    }
                    Ok(token.clone())
                }
                None => Err(unusable(source)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::http::tests::{Server, client};
    use crate::os::error::chain;

    fn place(variables: &[(&str, &str)]) -> CredentialSource {
        find(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn environment_overrides_file_and_empty_is_absent() {
        let keys = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret")];
        let there = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://x"), ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "t")];
        let here = |session_token| {
            let (access_key_id, secret_access_key) = ("id".to_owned(), "secret".to_owned());
            CredentialSource::Environment(Credentials { access_key_id, secret_access_key, session_token })
        };
        assert_eq!(place(&[keys[0], keys[1], there[0], there[1]]), here(None));
        let all = [keys[0], keys[1], ("AWS_SESSION_TOKEN", "session")];
        assert_eq!(place(&all), here(Some("session".to_owned())));
        let token = Token::Text("t".to_owned());
        let url = CredentialSource::Container { url: "http://x".to_owned(), token };
        assert_eq!(place(&[("AWS_ACCESS_KEY_ID", ""), there[0], there[1]]), url);
        assert_eq!(place(&[there[0], ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")]), CredentialSource::Absent);
        assert_eq!(format!("{:?}", place(&all)), "Environment(Credentials(redacted))");
    }

    const ANSWER: &str = r#"{"AccessKeyId":"id","SecretAccessKey":"secret","Token":""}"#;

    fn answering(status: u16, headers: &str, body: &str) -> Server {
        let length = body.len();
        Server::start(
            "127.0.0.1",
            &format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n{body}"),
            b"",
        )
    }

    #[tokio::test]
    async fn a_redirect_gets_no_token_to_another_host() {
        for code in [301, 302, 303, 307, 308] {
            let other = Server::start("127.0.0.2", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"");
            let server = answering(code, &format!("location: {}/\r\n", other.url), "");
            let error = fetch(&client(), &server.url, &Token::Text("t".to_owned())).await.unwrap_err();
            assert!(error.to_string().contains("a redirect to 127.0.0.2:"), "{error}");
            assert_eq!((server.connections(), other.connections()), (1, 0), "{code}");
        }
    }

    #[test]
    fn credentials_url_without_tls_is_refused_unless_the_host_is_local() {
        for url in [
            "https://credentials.example.com/role",
            "http://localhost:9001/role",
            "HTTP://LOCALHOST/",
            "http://127.0.0.1:9001/",
            "http://127.1/",
            "http://[::1]:80/",
            "http://169.254.170.2/v2/credentials",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::23]/v1/credentials",
            "http://[fd00:ec2:0::0:23]/v1/credentials",
        ] {
            assert!(protected(url).is_ok(), "{url}");
        }
        for url in [
            "http://credentials.example.com/role",
            "http:credentials.example.com/role",
            "http://127.0.0.1.example.com/",
            "http://localhost.example.com/",
            "http://127.0.0.1@example.com/",
            "http://169.254.169.254/",
            "http://169.254.170.230/",
            "http://[fd00:ec2::24]/",
            "http://[::ffff:8.8.8.8]/",
            "http://0.0.0.0/",
        ] {
            let error = protected(url).unwrap_err().to_string();
            assert!(
                error.starts_with("AWS_CONTAINER_CREDENTIALS_FULL_URI") && error.ends_with("use https://"),
                "{url}: {error}"
            );
        }
        for url in ["", "ftp", "//localhost/"] {
            assert!(matches!(protected(url), Err(AwsErrorKind::Url)), "{url}");
        }
    }

    #[tokio::test]
    async fn a_credentials_url_that_is_refused_gets_no_request() {
        // An address that a client would reach: the host is refused before that.
        let server = answering(200, "", ANSWER);
        let url = server.url.replace("127.0.0.1", "0.0.0.0");
        let error = fetch(&client(), &url, &Token::Text("t".to_owned())).await.unwrap_err();
        assert!(error.to_string().contains("0.0.0.0") && server.connections() == 0, "{error}");
    }

    #[tokio::test]
    async fn an_aws_error_is_logged_without_its_message() {
        let headers = "x-amzn-errortype: ExpiredToken:http://x\r\nx-amz-request-id: r-1\r\n";
        let server = answering(403, headers, r#"{"code":"Other","message":"token t"}"#);
        let error = fetch(&client(), &server.url, &Token::Text("t".to_owned())).await.unwrap_err();
        assert_eq!(error.to_string(), "403 Forbidden: ExpiredToken, request id r-1");
        let server = answering(500, "", r#"{"__type":"x#y z","message":"token t"}"#);
        let error = fetch(&client(), &server.url, &Token::Text("t".to_owned())).await.unwrap_err();
        assert_eq!(error.to_string(), "500 Internal Server Error: unknown, request id unknown");
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_file_that_cannot_be_read_in_time_is_not_waited_for() {
        let read = |otherwise: Option<String>| async move {
            Token::choose("/f".into(), std::future::pending(), otherwise.as_ref()).await
        };
        assert_eq!(read(Some("other".to_owned())).await.unwrap(), "other");
        let error = chain(&read(None).await.unwrap_err());
        assert!(error.contains("\"/f\" cannot be used: timed out"), "{error}");
    }

    #[tokio::test]
    async fn a_token_may_stand_in_a_file() {
        let server = answering(200, "", ANSWER);
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        std::fs::write(&file, "token\n").unwrap();
        let token = |path: &std::path::Path, otherwise: Option<&str>| Token::File {
            path: path.to_owned(),
            otherwise: otherwise.map(str::to_owned),
        };
        assert_eq!(token(&file, None).read().await.unwrap(), "token");
        assert_eq!(token(&file, Some("other")).read().await.unwrap(), "token");
        let found = fetch(&client(), &server.url, &token(&file, None)).await.unwrap();
        assert_eq!((found.access_key_id.as_str(), found.session_token), ("id", None));
        for path in [std::path::Path::new("/dev/zero"), directory.path()] {
            assert_eq!(token(path, Some("other")).read().await.unwrap(), "other");
            let error = fetch(&client(), &server.url, &token(path, None)).await.unwrap_err();
            let error = chain(&error);
            assert!(error.contains("cannot be used: it is not a regular file"), "{error}");
        }
        let variables = [
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://x"),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "t"),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/f"),
        ];
        let token = token(std::path::Path::new("/f"), Some("t"));
        assert_eq!(place(&variables), CredentialSource::Container { url: "http://x".to_owned(), token });
    }
}
