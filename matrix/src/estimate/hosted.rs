//! The shards of a plan, as hosted CI wants to be told of them.

use serde_json::{Value, json};

/// For `strategy.matrix` of a GitHub workflow, through `fromJSON`: one line, fit for a job's output.
///
/// <https://docs.github.com/en/actions/reference/workflows-and-actions/expressions#fromjson>
pub fn github(shards: u32) -> String {
    json!({ "shard": shard_names(shards) }).to_string()
}

/// For GitLab, which cannot compute a matrix but runs a pipeline that a job has written: a hidden job that others extend, with a variable `SHARD`. JSON is
/// YAML as well.
///
/// <https://docs.gitlab.com/ci/pipelines/downstream_pipelines/#dynamic-child-pipelines>, <https://docs.gitlab.com/ci/yaml/#parallelmatrix>
pub fn gitlab(shards: u32) -> String {
    json!({ ".shards": { "parallel": { "matrix": [{ "SHARD": shard_names(shards) }] } } }).to_string()
}

fn shard_names(shards: u32) -> Vec<Value> {
    (0..shards).map(|index| json!(format!("{index}/{shards}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::ShardIndex;

    #[test]
    fn every_shard_is_one_that_bench_takes_and_together_they_are_everything() {
        let github: Value = serde_json::from_str(&github(3)).unwrap();
        let gitlab: Value = serde_json::from_str(&gitlab(3)).unwrap();
        assert_eq!(gitlab[".shards"]["parallel"]["matrix"][0]["SHARD"], github["shard"]);
        let shards = github["shard"].as_array().unwrap().iter();
        let shards: Vec<ShardIndex> = shards.map(|text| text.as_str().unwrap().parse().unwrap()).collect();
        assert!((0..12).all(|block| shards.iter().filter(|shard| shard.has(block)).count() == 1));
    }
}
