//! Compares the build with `DD_LAMBDA_FIPS_MODE`, and finds settings that send data past the module.

use std::sync::Arc;

use crate::config::{Config, Endpoint, ProxiedUrls, Secret};

/// What the regions of AWS `GovCloud` begin with.
const GOVCLOUD: &str = "us-gov-";

/// Warnings for a FIPS build about settings that send data past it. The settings still apply: an endpoint without TLS may be a proxy of the
/// customer's in the same sandbox, whose own module counts, and an extension that sent nothing would be noticed too late.
pub fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if config.http.skip_ssl_validation {
        warnings.push("DD_SKIP_SSL_VALIDATION is on: servers are not authenticated".to_owned());
    }
    let is_clear = |proxy: &String| reqwest::Url::parse(proxy).is_ok_and(|url| url.scheme() == "http");
    if [&config.http.proxy, &config.aws.proxy].into_iter().flatten().any(is_clear) {
        warnings.push(
            "a proxy is reached by http://: it is told in clear which hosts are wanted, and what is sent through it is encrypted for these"
                .to_owned(),
        );
    }
    let without_tls = without_tls(config);
    if !without_tls.is_empty() {
        warnings.push(format!(
            "set to URLs without TLS, which the module does not protect: {}; use https://",
            without_tls.join(", ")
        ));
    }
    warnings
}

/// What the startup line says of the module, the provider and whether its configurations are approved. It claims no more than these settings leave true.
pub fn module_line(module: &str, provider: &str, is_approved: bool, config: &Config) -> String {
    let connections = match () {
        // Without authentication, clients have another configuration than the one that says whether it is approved.
        () if config.http.skip_ssl_validation => return format!("{module}, in its FIPS mode"),
        () if without_tls(config).is_empty() => "client of Datadog and AWS services",
        () => "connection with TLS",
    };
    format!("{module}, in its FIPS mode, in every {connections} ({provider}, fips: {is_approved})")
}

/// What goes to URLs without TLS, each once.
fn without_tls(config: &Config) -> Vec<&'static str> {
    // With all fields of what has URLs, so that another one does not compile before it is here.
    let Config {
        secret,
        delegated_auth_url,
        aws,
        logs,
        metrics,
        apm,
        http: _, // its proxy has a warning of its own
        api_key: _,
        secret_reload: _,
        site: _, // intakes of the site have TLS
        log_level: _,
        flush_timeout: _,
        flush_strategy: _,
        env: _,
        service: _,
        version: _,
        tags: _,
        dogstatsd: _,
        otlp: _, // of receivers alone
        appsec: _,
        runtime_proxy: _,
        propagation: _,
        triggers: _,
        fips_mode: _,
    } = config;
    let ProxiedUrls { profiling, debugger, telemetry, llm_observability } = &apm.proxied;
    let is_delegated = matches!(secret, Some(Secret::Delegated(_)));
    let ours = [
        ("delegated authentication", Some(delegated_auth_url.as_str()).filter(|_| is_delegated)),
        ("logs", logs.worker.as_deref().or(Some(&logs.url)).filter(|_| logs.enabled)),
        ("metrics", Some(metrics.url.as_str())),
        ("traces", Some(apm.url.as_str())),
        ("profiles", profiling.as_deref()),
        ("data of the debugger", debugger.as_deref()),
        ("instrumentation telemetry", telemetry.as_deref()),
        ("LLM Observability", llm_observability.as_deref()),
        ("AWS_ENDPOINT_URL", aws.url.as_deref()),
        ("AWS_ENDPOINT_URL_KMS", aws.kms_url.as_deref()),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", aws.secrets_manager_url.as_deref()),
        ("AWS_ENDPOINT_URL_SSM", aws.ssm_url.as_deref()),
    ];
    let of = |name: &'static str| move |endpoint: &Arc<Endpoint>| (name, endpoint.url.clone());
    let additional = logs.additional_endpoints.iter().map(of("additional endpoints of logs"));
    let additional = additional.chain(metrics.additional_endpoints.iter().map(of("additional endpoints of metrics")));
    let additional = additional.chain(apm.additional_endpoints.iter().map(of("additional endpoints of traces")));
    let ours = ours.into_iter().filter_map(|(name, url)| Some((name, url?.to_owned())));
    let mut names: Vec<_> = ours
        .chain(additional)
        // As the HTTP client reads it: `http:host` and `http:/host` are URLs without TLS as well.
        .filter(|(_, url)| reqwest::Url::parse(url).is_ok_and(|url| url.scheme() == "http"))
        .map(|(name, _)| name)
        .collect();
    names.dedup();
    names
}

/// What to tell whoever runs in AWS `GovCloud` and sends to a site of Datadog's that is not for it.
pub fn foreign_site(region: &str, site: &str) -> Option<String> {
    const SITE: &str = "ddog-gov.com";
    let is_for_it = site == SITE || site.ends_with(".ddog-gov.com");
    (region.starts_with(GOVCLOUD) && !is_for_it).then(|| {
        format!("DD_SITE is {site}, and {region} is a region of AWS GovCloud, for which Datadog's site is {SITE}")
    })
}

/// What to tell whoever asks for validated cryptography and has an extension without it, or the other way round. Datadog's libraries in the function do without
/// unless `DD_LAMBDA_FIPS_MODE` says otherwise, except in the regions of AWS `GovCloud`.
pub fn disagreement(built: bool, mode: Option<bool>, region: &str) -> Option<String> {
    let asked = mode.unwrap_or_else(|| region.starts_with(GOVCLOUD));
    let by = match mode {
        Some(mode) => format!("DD_LAMBDA_FIPS_MODE is {mode}"),
        None => format!("DD_LAMBDA_FIPS_MODE is not set, which means {asked} in {region}"),
    };
    match (asked, built) {
        (true, false) => {
            Some(format!("{by}, but this extension was built without the FIPS module: use the FIPS layer"))
        }
        (false, true) => Some(format!(
            "{by}, but this extension has a build of the cryptographic module that was validated: what the function itself sends does not use it"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ApiKey;

    #[test]
    fn settings_that_bypass_the_module_are_logged_by_name() {
        assert_eq!(warnings(&Config::default()), [""; 0]);
        let mut config = Config::default();
        config.http.skip_ssl_validation = true;
        assert!(matches!(&warnings(&config)[..], [one] if one.contains("DD_SKIP_SSL_VALIDATION")));
        let mut config = Config::default();
        let endpoint = Endpoint { url: "http://user:secret@other".to_owned(), api_key: ApiKey::clean("key").unwrap() };
        config.metrics.additional_endpoints = vec![endpoint.clone().into(), endpoint.into()];
        config.logs.url = "http://logs".to_owned();
        config.aws.ssm_url = Some("HTTP:ssm".to_owned());
        let told = warnings(&config).join("\n");
        let names = "logs, AWS_ENDPOINT_URL_SSM, additional endpoints of metrics; ";
        assert!(told.contains(names) && !told.contains("secret"), "{told}");
        config.logs.worker = Some("https://worker".to_owned());
        assert!(!warnings(&config).join("").contains("logs,"), "logs go to the worker");
    }

    #[test]
    fn delegated_authentication_without_tls_is_logged_where_it_is_used() {
        let mut config = Config { delegated_auth_url: "http://relay".to_owned(), ..Config::default() };
        for secret in [None, Some(Secret::Ssm("key".to_owned()))] {
            config.secret = secret;
            assert_eq!(warnings(&config), [""; 0]);
        }
        config.secret = Some(Secret::Delegated("org-1".to_owned()));
        assert!(
            matches!(&warnings(&config)[..], [one] if one.contains("does not protect: delegated authentication; "))
        );
    }

    #[test]
    fn the_startup_line_claims_only_what_the_settings_leave_true() {
        let line = |config: &Config| module_line("Module 1", "provider", true, config);
        assert_eq!(
            line(&Config::default()),
            "Module 1, in its FIPS mode, in every client of Datadog and AWS services (provider, fips: true)"
        );
        let mut config = Config::default();
        config.apm.proxied.debugger = Some("http://debugger".to_owned());
        assert_eq!(line(&config), "Module 1, in its FIPS mode, in every connection with TLS (provider, fips: true)");
        let (delegated_auth_url, secret) = ("http://relay".to_owned(), Some(Secret::Delegated("org-1".to_owned())));
        let mut config = Config { delegated_auth_url, secret, ..Config::default() };
        assert_eq!(line(&config), "Module 1, in its FIPS mode, in every connection with TLS (provider, fips: true)");
        config.http.skip_ssl_validation = true;
        assert_eq!(line(&config), "Module 1, in its FIPS mode");
    }

    #[test]
    fn a_proxy_without_tls_is_logged_once() {
        let told = |http: &str, aws: &str| {
            let mut config = Config::default();
            config.http.proxy = Some(http.to_owned());
            config.aws.proxy = Some(aws.to_owned());
            warnings(&config)
        };
        for (http, aws) in [("http://user:secret@a", "http://b"), ("HTTP://a", "https://b"), ("https://a", "http://b")]
        {
            let told = told(http, aws);
            let [one] = &told[..] else { panic!("{told:?}") };
            assert!(one.contains("a proxy is reached by http://") && !one.contains("secret"), "{one}");
        }
        assert_eq!(told("https://a", "https://b"), [""; 0]);
    }

    #[test]
    fn tracer_products_that_bypass_the_module_are_logged() {
        let mut config = Config::default();
        let endpoint = Endpoint { url: "http://other".to_owned(), api_key: ApiKey::clean("key").unwrap() };
        config.apm.url = "http://traces".to_owned();
        config.apm.additional_endpoints = vec![endpoint.into()];
        let proxied = &mut config.apm.proxied;
        for url in
            [&mut proxied.profiling, &mut proxied.debugger, &mut proxied.telemetry, &mut proxied.llm_observability]
        {
            *url = Some("http://product/path".to_owned());
        }
        let names = "traces, profiles, data of the debugger, instrumentation telemetry, LLM Observability, \
                     additional endpoints of traces; ";
        let told = warnings(&config).join("\n");
        assert!(told.contains(names), "{told}");
    }

    #[test]
    fn a_site_outside_govcloud_is_logged_in_govcloud_regions_only() {
        assert!(foreign_site("us-gov-west-1", "datadoghq.com").unwrap().contains("ddog-gov.com"));
        assert!(foreign_site("us-gov-west-1", "not-ddog-gov.com").is_some());
        for site in ["ddog-gov.com", "us2.ddog-gov.com"] {
            assert_eq!(foreign_site("us-gov-west-1", site), None);
        }
        assert_eq!(foreign_site("us-east-1", "datadoghq.com"), None);
    }

    #[test]
    fn the_setting_counts_before_the_region() {
        for (mode, region, asked) in [
            (None, "us-east-1", false),
            (None, "us-gov-west-1", true),
            (Some(true), "us-east-1", true),
            (Some(false), "us-gov-east-1", false),
        ] {
            assert_eq!(disagreement(asked, mode, region), None, "{mode:?} {region}");
            let told = disagreement(!asked, mode, region).unwrap();
            assert!(told.starts_with("DD_LAMBDA_FIPS_MODE is "), "{told}");
            assert_eq!(told.contains("use the FIPS layer"), asked, "{told}");
            assert_eq!(told.contains(region), mode.is_none(), "{told}");
        }
    }
}
