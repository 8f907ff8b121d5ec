//! Extracts the durable execution that a log line names.
//!
//! Source: AWS Lambda developer guide, "Durable functions": the SDK's JSON logs carry `executionArn`, which ends in `/durable-execution/<name>/<id>`.

/// An execution of a durable function; it may span many invocations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Execution {
    /// The execution id, unique among the executions of a function.
    pub id: String,
    /// The name that the caller gave.
    pub name: String,
    /// Whether the invocation is the first of the execution, where that is told.
    pub is_first: Option<bool>,
    /// How the execution stands after the invocation, where that is told.
    pub status: Option<String>,
}

/// Parses an execution from its ARN.
pub fn of(arn: &str) -> Option<Box<Execution>> {
    let (_, path) = arn.split_once("/durable-execution/")?;
    let (name, id) = path.split_once('/')?;
    let whole = !name.is_empty() && !id.is_empty() && !id.contains('/');
    whole.then(|| Box::new(Execution { id: id.to_owned(), name: name.to_owned(), ..Execution::default() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arn: &str) -> Option<(String, String)> {
        of(arn).map(|execution| (execution.name, execution.id))
    }

    #[test]
    fn name_and_id_end_the_arn() {
        let function = "arn:aws:lambda:us-east-1:1:function:f:1";
        let found = read(&format!("{function}/durable-execution/order-7/0b1c"));
        assert_eq!(found, Some(("order-7".to_owned(), "0b1c".to_owned())));
        for other in
            ["", "/durable-execution/", "/durable-execution/n", "/durable-execution/n/", "/durable-execution/n/i/x"]
        {
            assert_eq!(read(&format!("{function}{other}")), None, "{other}");
        }
    }
}
