//! What to ask of Stripe so that it has what a change event says, and nothing twice.
//!
//! [`next`] says the next step, the edge performs it (or fails and asks again), [`answered`] takes
//! the answer in. The steps of one customer are never in flight twice.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

mod answered;
mod next;

use super::rules::Rule;
use crate::clock;
use crate::in_force::holds;
use crate::record::{
    Change, Field, Fields, Millis, Outcome, STRIPE, Snapshot, Stamp, SyncResult, SystemPart, Value,
};

pub use answered::{answered, unanswered};
pub use next::next;

/// Stripe forgets idempotency keys after 24 h. The time since a create was first announced is cut
/// into periods; the keys of a period are remembered at least for this long, and after it nothing
/// is created before the next period begins, whose keys are others. From the second period on it
/// is looked for first.
pub const KEY_TRUST_MS: Millis = 23 * 60 * 60 * 1000;

/// Between two periods every request of the first one has landed, or never will.
pub const KEY_PERIOD_MS: Millis = KEY_TRUST_MS + 30 * 60 * 1000;

/// A record older than this is checked against Stripe before anything is sent.
pub const UNCHECKED_MS_MAX: Millis = 12 * 60 * 60 * 1000;

/// The version a create brings, always.
pub const FIRST_VERSION: u64 = 1;

/// What is remembered of a customer at Stripe from one record to the next; empty after an
/// assignment, since another instance may have written meanwhile.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Memory {
    pub id: Option<String>,
    pub remote: Remote,
    pub attempts: Attempts,
    /// A create of unknown fate: nothing is created before a look-up. It outlives the record that
    /// raised it, since a newer one may replace that before the look-up succeeds.
    pub must_look: bool,
}

/// How many keys were used up for this version, and for this period of a create.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Attempts {
    version: u64,
    period: i64,
    used: u32,
}

impl Attempts {
    fn of(self, version: u64, period: i64) -> u32 {
        if (self.version, self.period) == (version, period) { self.used } else { 0 }
    }
}

/// What Stripe has, known only from fresh answers to our own writes and from GETs.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub enum Remote {
    #[default]
    Unknown,
    Live(Stamp),
    Gone,
}

/// One change event on its way.
#[derive(Clone, Debug, Hash)]
pub struct Job {
    pub change: Change,
    part: SystemPart,
    /// At or beyond the high watermark its partition had when it was assigned.
    fresh: bool,
    first_at: Option<Millis>,
    announced_at: Millis,
    /// When it was last looked for, and not found.
    looked_at: Option<Millis>,
    refused: BTreeMap<Field, String>,
    deleted: Vec<String>,
    outcome: Outcome,
}

/// The next thing to ask of Stripe.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Step {
    /// Nothing is wanted of this system: no result either.
    Nothing,
    /// Look for a customer made for us: by a List, and among the deleted ones in `/v1/events`.
    Look {
        customer: String,
        since: Millis,
        /// When it was asked for: the answer says nothing about later.
        asked_at: Millis,
    },
    Create {
        customer: String,
        fields: Fields,
        without: Vec<Field>,
        stamp: Stamp,
        key: String,
    },
    /// Brings fields and the stamp; and the link, which somebody may have copied something over.
    Update {
        customer: String,
        id: String,
        fields: Vec<(Field, Option<Value>)>,
        stamp: Stamp,
        key: String,
    },
    Read {
        id: String,
    },
    Delete {
        id: String,
    },
    Done(SyncResult),
}

/// What Stripe answered, as far as the rules care. What time may heal never gets here: the same
/// step is simply asked for again.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Answer {
    /// A customer, fresh, or as it was when the same request was first answered.
    Customer {
        snapshot: Snapshot,
        replayed: bool,
    },
    /// This field is refused, in these words.
    Refused {
        field: Field,
        why: String,
    },
    /// The key was used for another request.
    KeyReused,
    /// A stored 5xx: what happened then is unknown.
    StoredError,
    /// No such customer.
    Missing,
    /// Refused for good.
    Failed {
        why: String,
    },
    Found(Found),
}

/// What a look-up found.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Found {
    Live { id: String },
    Gone { id: String },
    Absent,
}

/// FNV-1a: the same number for the same text in every version of every program.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl std::fmt::Write for Fnv {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        Ok(())
    }
}

impl Job {
    /// `None` when the event has no part for Stripe.
    pub fn new(change: Change, fresh: bool) -> Option<Self> {
        let part = change.data.systems.get(STRIPE)?.clone();
        let first_at = part.first_at.as_deref().and_then(clock::parse_rfc3339);
        let announced_at = clock::parse_rfc3339(&change.time).unwrap_or(0);
        Some(Self {
            first_at,
            announced_at,
            fresh,
            looked_at: None,
            refused: BTreeMap::new(),
            deleted: Vec::new(),
            outcome: Outcome::Skipped,
            part,
            change,
        })
    }

    /// The result of a record that can never succeed.
    pub fn failed(&self, memory: &Memory, why: &str, now: Millis) -> SyncResult {
        let id = self.part.id.clone().or_else(|| memory.id.clone());
        self.result(Outcome::Failed, id, Some(why.to_owned()), now)
    }

    fn result(
        &self,
        outcome: Outcome,
        external_id: Option<String>,
        error: Option<String>,
        now: Millis,
    ) -> SyncResult {
        SyncResult {
            event: self.change.id.clone(),
            customer: self.change.subject.clone(),
            version: self.change.data.version,
            system: STRIPE.into(),
            outcome,
            external_id,
            refused: self.refused.clone(),
            error,
            at: clock::rfc3339(now),
        }
    }

    /// The idempotency key: customer, version, attempt, and which fields the request names, so
    /// that the same request has the same key whichever way it came about. Whoever starts anew
    /// (after a crash, or a lost answer) then repeats a request that is still under way, and
    /// never makes a second one of it.
    fn key(
        &self,
        version: u64,
        period: i64,
        memory: &Memory,
        named: impl IntoIterator<Item = impl Display>,
    ) -> String {
        let attempt = memory.attempts.of(version, period);
        let mut names = Fnv::default();
        for name in named {
            if holds(Rule::KeyNamesFields) {
                // Writing to a hash cannot fail.
                let _ = writeln!(names, "{name}");
            }
        }
        let subject = &self.change.subject;
        let mut key = format!("catalog/{subject}/{version}/{attempt}/{:x}", names.0);
        if period > 0 && holds(Rule::KeyOfItsPeriod) {
            let _ = write!(key, "/{period}");
        }
        key
    }

    /// How many periods ago the create was first announced, and how far into this one it is.
    fn period(&self, now: Millis) -> (i64, Millis) {
        let age = (now - self.first_at.unwrap_or(0)).max(0);
        (age / KEY_PERIOD_MS, age % KEY_PERIOD_MS)
    }

    /// A GET may be left out when nothing of this customer can be in flight that we do not know.
    fn may_skip_read(&self, now: Millis) -> bool {
        let version = self.change.data.version;
        let read_if = |condition: bool, rule: Rule| condition && holds(rule);
        let older = self.part.pending.values().any(|pending| *pending != version);
        let old = now - self.announced_at >= UNCHECKED_MS_MAX;
        !read_if(!self.fresh, Rule::ReadIfNotFresh)
            && !read_if(self.part.again, Rule::ReadIfAgain)
            && !read_if(old, Rule::ReadIfOld)
            && !read_if(older, Rule::ReadIfMoreIsPending)
    }
}
