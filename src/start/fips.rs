//! Whether what was built is what is asked for.

/// What to tell whoever asks for validated cryptography and has an extension without it, or the other way round. Datadog's libraries in the function do without
/// unless `DD_LAMBDA_FIPS_MODE` says otherwise, except in the regions of AWS `GovCloud`.
pub fn disagreement(built: bool, mode: Option<bool>, region: &str) -> Option<String> {
    let asked = mode.unwrap_or_else(|| region.starts_with("us-gov-"));
    let by = match mode {
        Some(mode) => format!("DD_LAMBDA_FIPS_MODE is {mode}"),
        None => format!("DD_LAMBDA_FIPS_MODE is not set, which means {asked} in {region}"),
    };
    match (asked, built) {
        (true, false) => Some(format!(
            "{by}, but this extension was built without a validated cryptographic module: use the FIPS layer"
        )),
        (false, true) => Some(format!(
            "{by}, but this extension was built with a validated cryptographic module: what the function itself sends does not use one"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
