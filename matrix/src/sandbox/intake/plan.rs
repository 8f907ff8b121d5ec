//! The plan of the intake's responses and port closures, and the schedule that applies it.

use std::time::Duration;

use super::proxied::PATHS as PROXIED;

/// The responses of the intake. The default accepts every valid request that carries any API key.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The only accepted API key; `None` accepts any key that is not blank.
    pub api_key: Option<String>,
    /// The rules; the first one that applies decides. Without one, valid requests get `202 {}`.
    pub rules: Vec<Rule>,
    /// Spans of time during which the port refuses connections.
    pub outages: Vec<Outage>,
}

/// A deviation from the default response.
#[derive(Clone, Debug)]
pub struct Rule {
    pub route: Route,
    pub window: Window,
    pub response: RuleResponse,
}

/// The requests that a rule applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Route {
    /// Every request, including those to unknown paths.
    Any,
    Logs,
    Series,
    Sketches,
    Traces,
    Stats,
    /// What tracers send beside spans.
    Proxied,
}

/// When a rule applies, counted from the moment its plan was set.
#[derive(Clone, Copy, Debug)]
pub enum Window {
    /// Skips the first `skip` requests of the rule's route, then applies to `take` requests, or to all that follow.
    Requests { skip: usize, take: Option<usize> },
    /// Applies from `from` on, until `until` if there is one.
    Time { from: Duration, until: Option<Duration> },
}

/// The response of a rule.
#[derive(Clone, Debug)]
pub enum RuleResponse {
    /// Responds with this status, these headers and this body. A 2xx status means that the payload was accepted.
    Status { code: u16, headers: Vec<(String, String)>, body: String },
    /// Waits this long, then applies the remaining rules.
    Delay(Duration),
    /// Resets the TCP connection after reading the request.
    Reset,
    /// Reads the request and never responds.
    Silence,
}

/// A span of time during which the port refuses connections. Open connections are closed after their response.
#[derive(Clone, Copy, Debug)]
pub struct Outage {
    pub after: OutageStart,
    /// The duration; `None` keeps the port closed until the next plan.
    pub lasting: Option<Duration>,
}

/// The start of a closed span, counted from the moment its plan was set.
#[derive(Clone, Copy, Debug)]
pub enum OutageStart {
    Elapsed(Duration),
    /// After this many requests on any path; 0 is at once.
    Requests(usize),
}

impl Plan {
    /// A plan with one rule.
    pub fn rule(route: Route, window: Window, response: RuleResponse) -> Self {
        Self { rules: vec![Rule { route, window, response }], ..Self::default() }
    }
}

impl Route {
    /// The route of a path; `None` for an unknown path.
    pub fn of(path: &str) -> Option<Self> {
        match path {
            "/api/v2/logs" => Some(Self::Logs),
            "/api/v2/series" => Some(Self::Series),
            "/api/beta/sketches" => Some(Self::Sketches),
            "/api/v0.2/traces" => Some(Self::Traces),
            "/api/v0.2/stats" => Some(Self::Stats),
            _ => PROXIED.contains(&path).then_some(Self::Proxied),
        }
    }
}

impl Window {
    /// From the first request or moment on, without end.
    pub const ALWAYS: Self = Self::Requests { skip: 0, take: None };

    /// The first `count` requests.
    pub const fn first(count: usize) -> Self {
        Self::Requests { skip: 0, take: Some(count) }
    }

    fn holds(self, seen: usize, elapsed: Duration) -> bool {
        match self {
            Self::Requests { skip, take } => seen >= skip && take.is_none_or(|take| seen - skip < take),
            Self::Time { from, until } => elapsed >= from && until.is_none_or(|until| elapsed < until),
        }
    }
}

impl RuleResponse {
    /// A response with this status and an empty JSON object.
    pub fn status(code: u16) -> Self {
        Self::Status { code, headers: Vec::new(), body: "{}".to_owned() }
    }
}

/// A plan with its counters. Callers pass in times, so it needs no clock.
#[derive(Debug)]
pub(super) struct Schedule {
    plan: Plan,
    /// The number of requests of each rule's route so far.
    seen: Vec<usize>,
    requests: usize,
    /// The start of each closed span, once it is known.
    began: Vec<Option<Duration>>,
}

/// The decision about one request.
#[derive(Debug)]
pub(super) struct Decision {
    pub(super) delay: Duration,
    /// `None` is the default response; never [`RuleResponse::Delay`].
    pub(super) response: Option<RuleResponse>,
}

/// The state of the port, and when it changes next, if that is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PortState {
    pub(super) open: bool,
    pub(super) until: Option<Duration>,
}

impl Schedule {
    pub(super) fn new(plan: Plan) -> Self {
        let seen = vec![0; plan.rules.len()];
        let began = plan
            .outages
            .iter()
            .map(|closed| match closed.after {
                OutageStart::Elapsed(after) => Some(after),
                OutageStart::Requests(0) => Some(Duration::ZERO),
                OutageStart::Requests(_) => None,
            })
            .collect();
        Self { plan, seen, requests: 0, began }
    }

    pub(super) fn api_key(&self) -> Option<&str> {
        self.plan.api_key.as_deref()
    }

    /// Counts a request and decides about it.
    pub(super) fn decide(&mut self, route: Option<Route>, elapsed: Duration) -> Decision {
        self.requests += 1;
        for (closed, began) in self.plan.outages.iter().zip(&mut self.began) {
            if matches!(closed.after, OutageStart::Requests(count) if count == self.requests) {
                *began = Some(elapsed);
            }
        }
        let mut decision = Decision { delay: Duration::ZERO, response: None };
        for (rule, seen) in self.plan.rules.iter().zip(&mut self.seen) {
            if rule.route != Route::Any && Some(rule.route) != route {
                continue;
            }
            let applies = rule.window.holds(*seen, elapsed);
            *seen += 1;
            if !applies || decision.response.is_some() {
                continue;
            }
            match &rule.response {
                RuleResponse::Delay(delay) => decision.delay += *delay,
                other => decision.response = Some(other.clone()),
            }
        }
        decision
    }

    /// The state of the port at a time.
    pub(super) fn door(&self, elapsed: Duration) -> PortState {
        let spans =
            || self.plan.outages.iter().zip(&self.began).filter_map(|(closed, began)| Some((closed, (*began)?)));
        let end = |closed: &Outage, began: Duration| closed.lasting.map(|lasting| began + lasting);
        for (closed, began) in spans() {
            let end = end(closed, began);
            if elapsed >= began && end.is_none_or(|end| elapsed < end) {
                return PortState { open: false, until: end };
            }
        }
        PortState { open: true, until: spans().map(|(_, began)| began).filter(|began| *began > elapsed).min() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: Duration = Duration::ZERO;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn code(decision: &Decision) -> u16 {
        match decision.response {
            Some(RuleResponse::Status { code, .. }) => code,
            _ => 0,
        }
    }

    #[test]
    fn a_count_window_skips_then_takes_requests_of_its_own_route() {
        let window = Window::Requests { skip: 1, take: Some(2) };
        let mut schedule = Schedule::new(Plan::rule(Route::Logs, window, RuleResponse::status(500)));
        let routes = [Route::Logs, Route::Series, Route::Logs, Route::Logs, Route::Logs];
        let codes: Vec<u16> = routes.iter().map(|route| code(&schedule.decide(Some(*route), ZERO))).collect();
        assert_eq!(codes, [0, 0, 500, 500, 0]);
    }

    #[test]
    fn a_time_window_ends_when_it_says() {
        let window = Window::Time { from: seconds(1), until: Some(seconds(3)) };
        let mut schedule = Schedule::new(Plan::rule(Route::Any, window, RuleResponse::status(503)));
        let codes: Vec<u16> = (0..4).map(|at| code(&schedule.decide(None, seconds(at)))).collect();
        assert_eq!(codes, [0, 503, 503, 0]);
    }

    #[test]
    fn first_matching_intake_rule_wins_after_delays() {
        let rule = |window, response| Rule { route: Route::Any, window, response };
        let mut schedule = Schedule::new(Plan {
            rules: vec![
                rule(Window::ALWAYS, RuleResponse::Delay(seconds(2))),
                rule(Window::first(1), RuleResponse::status(429)),
                rule(Window::ALWAYS, RuleResponse::status(500)),
            ],
            ..Plan::default()
        });
        let first = schedule.decide(None, ZERO);
        let second = schedule.decide(None, ZERO);
        assert_eq!((code(&first), first.delay), (429, seconds(2)));
        assert_eq!((code(&second), second.delay), (500, seconds(2)));
    }

    #[test]
    fn the_door_closes_by_the_clock_and_opens_again() {
        let closed = Outage { after: OutageStart::Elapsed(seconds(1)), lasting: Some(seconds(2)) };
        let schedule = Schedule::new(Plan { outages: vec![closed], ..Plan::default() });
        assert_eq!(schedule.door(ZERO), PortState { open: true, until: Some(seconds(1)) });
        assert_eq!(schedule.door(seconds(1)), PortState { open: false, until: Some(seconds(3)) });
        assert_eq!(schedule.door(seconds(3)), PortState { open: true, until: None });
    }

    #[test]
    fn the_door_closes_after_a_number_of_requests() {
        let closed = Outage { after: OutageStart::Requests(2), lasting: None };
        let mut schedule = Schedule::new(Plan { outages: vec![closed], ..Plan::default() });
        schedule.decide(None, seconds(4));
        assert!(schedule.door(seconds(5)).open);
        schedule.decide(Some(Route::Logs), seconds(6));
        assert_eq!(schedule.door(seconds(6)), PortState { open: false, until: None });
    }
}
