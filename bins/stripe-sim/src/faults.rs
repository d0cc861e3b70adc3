//! Faults on demand: which request or webhook goes wrong, and how. Chances come from one seeded
//! generator, so that a run can be repeated. It decides only; others act.

use crate::spec::{HOLD_MS_MAX, Refuse, Rule, Spec};

/// Rules kept at once.
const RULES_MAX: usize = 1_000;

/// What one request will meet.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub latency_ms: u64,
    pub latency_after_ms: u64,
    pub end: Option<End>,
}

#[derive(Clone, Debug)]
pub enum End {
    /// Answered with an error: before anything happens, or after it happened.
    Status { rule: Box<Rule>, status: u16 },
    /// Done, and never answered.
    Lost,
    /// Not done, held, and never answered.
    Timeout(u64),
    /// The parameter is refused.
    Refuse { param: String, code: Option<String>, message: String },
}

/// What one webhook will meet.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Post {
    pub drop: bool,
    pub duplicate: bool,
    pub delay_ms: u64,
}

/// The faults in force.
#[derive(Debug)]
pub struct Faults {
    spec: Spec,
    rng: fastrand::Rng,
}

impl Faults {
    pub fn new(seed: u64) -> Self {
        Self { spec: Spec::default(), rng: fastrand::Rng::with_seed(seed) }
    }

    /// Rules are added, everything else is replaced.
    pub fn add(&mut self, spec: Spec) -> Result<(), String> {
        if self.spec.requests.len() + spec.requests.len() > RULES_MAX {
            return Err(format!("at most {RULES_MAX} rules"));
        }
        self.spec.requests.extend(spec.requests);
        if let Some(seed) = spec.seed {
            self.rng = fastrand::Rng::with_seed(seed);
            self.spec.seed = Some(seed);
        }
        self.spec.webhooks = spec.webhooks.or(self.spec.webhooks.take());
        self.spec.same_second = spec.same_second.or(self.spec.same_second);
        self.spec.rate = spec.rate.or(self.spec.rate);
        Ok(())
    }

    pub fn clear(&mut self) {
        self.spec = Spec::default();
    }

    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Decides for a request; latencies add up, of what ends a request the first rule counts.
    pub fn request(&mut self, method: &str, path: &str, params: &[(String, String)]) -> Plan {
        let mut plan = Plan::default();
        for rule in &mut self.spec.requests {
            let ends = rule.status.is_some()
                || rule.lost
                || rule.timeout_ms.is_some()
                || rule.refuse.is_some();
            if ends && plan.end.is_some() || !rule.applies(method, path, params) {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            if self.rng.f64() >= rule.probability {
                continue;
            }
            if let Some(count) = &mut rule.count {
                *count -= 1;
            }
            rule.fired += 1;
            plan.latency_ms = (plan.latency_ms + rule.latency_ms).min(HOLD_MS_MAX);
            plan.latency_after_ms =
                (plan.latency_after_ms + rule.latency_after_ms).min(HOLD_MS_MAX);
            if plan.end.is_none() {
                plan.end = rule.end();
            }
        }
        plan
    }

    pub fn webhook(&mut self) -> Post {
        let Some(faults) = self.spec.webhooks.clone() else { return Post::default() };
        let mut post = Post {
            drop: self.rng.f64() < faults.drop,
            duplicate: self.rng.f64() < faults.duplicate,
            delay_ms: 0,
        };
        let delay = faults.delay.unwrap_or(if faults.delay_ms > 0 { 1.0 } else { 0.0 });
        if self.rng.f64() < delay {
            post.delay_ms += faults.delay_ms;
        }
        if self.rng.f64() < faults.reorder {
            // Without a length, long enough for a few others to pass.
            let most = if faults.reorder_ms == 0 { 500 } else { faults.reorder_ms };
            post.delay_ms += 1 + self.rng.u64(0..most);
        }
        post
    }
}

impl Rule {
    fn applies(&self, method: &str, path: &str, params: &[(String, String)]) -> bool {
        let named = |param: &str| {
            let inside = format!("{param}[");
            params.iter().any(|(name, _)| name == param || name.starts_with(&inside))
        };
        self.count != Some(0)
            && self.method.as_deref().is_none_or(|m| m.eq_ignore_ascii_case(method))
            && self.path.as_deref().is_none_or(|p| path.starts_with(p))
            && self.refuse.as_ref().is_none_or(|refuse| named(refuse.param()))
    }

    fn end(&self) -> Option<End> {
        if let Some(status) = self.status {
            return Some(End::Status { rule: Box::new(self.clone()), status });
        }
        if self.lost {
            return Some(End::Lost);
        }
        if let Some(ms) = self.timeout_ms {
            return Some(End::Timeout(ms));
        }
        let refuse = self.refuse.as_ref()?;
        let (code, message) = match refuse {
            Refuse::Name(_) => (None, None),
            Refuse::Full { code, message, .. } => (code.clone(), message.clone()),
        };
        let param = refuse.param().to_owned();
        let message = message.or_else(|| self.message.clone());
        let message = message.unwrap_or_else(|| format!("Invalid value for {param}."));
        Some(End::Refuse { param, code: code.or_else(|| self.code.clone()), message })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that cannot go on has failed
mod tests {
    use super::*;

    fn faults(spec: &str) -> Faults {
        let mut faults = Faults::new(1);
        faults.add(Spec::parse(spec).unwrap()).unwrap();
        faults
    }

    #[test]
    fn both_spellings_mean_the_same() {
        for spec in [
            "method=POST,path=/v1/customers,status=500,after,count=2",
            r#"{"method":"POST","path":"/v1/customers","status":500,"after":true,"count":2}"#,
            r#"[{"method":"POST","path":"/v1/customers","status":500,"after":true,"count":2}]"#,
            r#"{"requests":[{"method":"post","path":"/v1/c","status":500,"count":2}]}"#,
        ] {
            let mut faults = faults(spec);
            let mut hit = |method, path| faults.request(method, path, &[]).end.is_some();
            assert!(!hit("GET", "/v1/customers"), "{spec}");
            assert!(!hit("POST", "/v1/events"), "{spec}");
            assert!(hit("POST", "/v1/customers/cus_1"), "{spec}");
            assert!(hit("POST", "/v1/customers"), "{spec}");
            assert!(!hit("POST", "/v1/customers"), "{spec}: twice only");
        }
    }

    #[test]
    fn a_refusal_needs_its_parameter_and_nested_ones_count() {
        let mut faults = faults("refuse=address,message=No");
        let params = |name: &str| vec![(name.to_owned(), String::new())];
        assert!(faults.request("POST", "/v1/customers", &params("name")).end.is_none());
        let plan = faults.request("POST", "/v1/customers", &params("address[city]"));
        let Some(End::Refuse { param, message, .. }) = plan.end else { panic!("not refused") };
        assert_eq!((param.as_str(), message.as_str()), ("address", "No"));
    }

    #[test]
    fn one_seed_gives_one_history() {
        let run = |seed: u64| -> Vec<(bool, Post)> {
            let mut faults = faults("webhooks,drop=0.3,reorder=0.5,duplicate=0.2");
            faults.add(Spec::parse(&format!("seed={seed}")).unwrap()).unwrap();
            faults.add(Spec::parse("status=503,probability=0.5").unwrap()).unwrap();
            (0..50)
                .map(|_| (faults.request("GET", "/", &[]).end.is_some(), faults.webhook()))
                .collect()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn latencies_add_up_and_the_first_end_counts() {
        let mut faults = faults("latency_ms=10");
        faults.add(Spec::parse("latency_ms=5,status=503").unwrap()).unwrap();
        faults.add(Spec::parse("lost,count=1").unwrap()).unwrap();
        let plan = faults.request("GET", "/v1/customers", &[]);
        assert_eq!(plan.latency_ms, 15);
        assert!(matches!(plan.end, Some(End::Status { status: 503, .. })));
        assert_eq!(faults.spec().requests[2].count, Some(1), "not used up");
    }
}
