//! Batches of logs as the logs intake takes them.

use super::{Draft, Kind, To};
use crate::{aggregate::logs::LogBatch, config::Logs};

/// One request a batch and intake; two drafts a batch where the intakes do not take the same body.
pub fn drafts(batches: Vec<LogBatch>, settings: &Logs) -> impl Iterator<Item = Draft> {
    batches.into_iter().flat_map(move |batch| of_batch(batch, settings))
}

fn of_batch(batch: LogBatch, settings: &Logs) -> Vec<Draft> {
    let LogBatch { json, entries: items } = batch;
    let (level, others) = (settings.compression, &settings.additional_endpoints);
    let draft = |body, level, to| Draft { kind: Kind::Logs, body, level, items, to };
    if settings.worker.is_none() {
        return vec![draft(json, level, To::all(others))];
    }
    // A worker takes plain JSON, whatever Datadog's own intakes are to get.
    let mut drafts = Vec::new();
    if !others.is_empty() {
        drafts.push(draft(json.clone(), level, To::others(others).collect()));
    }
    drafts.push(draft(json, None, vec![To::Primary]));
    drafts
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::{ApiKey, Config, Endpoint};

    fn settings(worker: Option<&str>, additional: &[&str]) -> Logs {
        let endpoint =
            |url: &&str| Arc::new(Endpoint { url: (*url).to_owned(), api_key: ApiKey::clean("key").unwrap() });
        Logs {
            worker: worker.map(str::to_owned),
            additional_endpoints: additional.iter().map(endpoint).collect(),
            ..Config::default().logs
        }
    }

    fn drafted(settings: &Logs) -> Vec<Draft> {
        drafts(vec![LogBatch { json: b"[1,2]".to_vec(), entries: 2 }], settings).collect()
    }

    #[test]
    fn everybody_gets_the_same_compressed_body() {
        let settings = settings(None, &["https://a.example"]);
        let [draft] = &drafted(&settings)[..] else { panic!() };
        assert_eq!((draft.level, draft.items), (Some(3), 2));
        assert_eq!(draft.to, [To::Primary, To::Additional(settings.additional_endpoints[0].clone())]);
    }

    #[test]
    fn a_worker_gets_plain_json_and_the_others_what_they_always_get() {
        let settings = settings(Some("http://worker"), &["https://a.example"]);
        let [others, worker] = &drafted(&settings)[..] else { panic!() };
        assert_eq!((others.level, &others.body[..]), (Some(3), &b"[1,2]"[..]));
        assert_eq!(others.to, [To::Additional(settings.additional_endpoints[0].clone())]);
        assert_eq!((worker.level, &worker.body[..], &worker.to[..]), (None, &b"[1,2]"[..], &[To::Primary][..]));
    }

    #[test]
    fn a_worker_alone_costs_no_copy() {
        assert_eq!(drafted(&settings(Some("http://worker"), &[])).len(), 1);
    }
}
