//! Lambda's initialization type of an execution environment.
//!
//! Source: AWS Lambda developer guide, "Defined runtime environment variables".

/// The environment variable that says it.
pub const INITIALIZATION_TYPE: &str = "AWS_LAMBDA_INITIALIZATION_TYPE";

/// Lambda's initialization type of an execution environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Initialization {
    /// Started for an invocation that waits; also anything that this version does not know.
    OnDemand,
    /// Started ahead of invocations.
    ProvisionedConcurrency,
    /// Restored from a snapshot.
    SnapStart,
    /// Lambda Managed Instances: several invocations at once, and only SHUTDOWN reaches extensions.
    ManagedInstances,
}

impl Initialization {
    /// Reads the value of [`INITIALIZATION_TYPE`]. Absent and unknown values count as on-demand, which every platform supports.
    #[must_use]
    pub fn parse(value: Option<&str>) -> Self {
        match value {
            Some("provisioned-concurrency") => Self::ProvisionedConcurrency,
            Some("snap-start") => Self::SnapStart,
            Some("lambda-managed-instances") => Self::ManagedInstances,
            _ => Self::OnDemand,
        }
    }

    /// Whether the environment is started ahead of its invocations, or made into a snapshot then. It has the time now, and what is deferred would be paid for
    /// by an invocation: the launcher executes the agent at once, and the agent defers nothing.
    #[must_use]
    pub fn is_ahead(self) -> bool {
        matches!(self, Self::SnapStart | Self::ProvisionedConcurrency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_and_absent_types_are_on_demand() {
        assert_eq!(Initialization::parse(None), Initialization::OnDemand);
        for value in ["", "on-demand", "something-new", "SNAP-START"] {
            assert_eq!(Initialization::parse(Some(value)), Initialization::OnDemand, "{value}");
        }
    }

    #[test]
    fn only_environments_without_a_waiting_invocation_are_ahead() {
        for (value, is_ahead) in
            [("provisioned-concurrency", true), ("snap-start", true), ("lambda-managed-instances", false), ("x", false)]
        {
            assert_eq!(Initialization::parse(Some(value)).is_ahead(), is_ahead, "{value}");
        }
    }
}
