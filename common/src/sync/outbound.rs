//! What to ask of Stripe so that it has what a change event says, and nothing twice.
//!
//! [`next`] says the next step, the edge performs it (or fails and asks again), [`answered`] takes
//! the answer in. The steps of one customer are never in flight twice.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::state::stamp_for;
use crate::clock;
use crate::record::{
    Change, Field, Fields, Millis, Outcome, Pending, STRIPE, Snapshot, Stamp, SyncResult,
    SystemPart, Value,
};

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
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Memory {
    pub id: Option<String>,
    pub remote: Remote,
    pub attempts: Attempts,
    /// A create of unknown fate: nothing is created before a look-up. It outlives the record that
    /// raised it, since a newer one may replace that before the look-up succeeds.
    pub must_look: bool,
}

/// How many keys were used up for this version, and for this period of a create.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
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
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Remote {
    #[default]
    Unknown,
    Live(Stamp),
    Gone,
}

/// One change event on its way.
#[derive(Clone, Debug)]
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
#[derive(Clone, Debug, Eq, PartialEq)]
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
#[derive(Clone, Debug, Eq, PartialEq)]
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
#[derive(Clone, Debug, Eq, PartialEq)]
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
    fn key<'a>(
        &self,
        version: u64,
        period: i64,
        memory: &Memory,
        named: impl IntoIterator<Item = &'a Field>,
    ) -> String {
        let attempt = memory.attempts.of(version, period);
        let mut names = Fnv::default();
        for field in named {
            // Writing to a hash cannot fail.
            let _ = writeln!(names, "{field}");
        }
        let subject = &self.change.subject;
        let mut key = format!("catalog/{subject}/{version}/{attempt}/{:x}", names.0);
        if period > 0 {
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
        self.fresh
            && !self.part.again
            && now - self.announced_at < UNCHECKED_MS_MAX
            && self.part.pending.values().all(|pending| *pending == version)
    }
}

/// The next step for this event, given what is remembered of its customer.
pub fn next(job: &Job, memory: &Memory, now: Millis) -> Step {
    if !job.part.wants() {
        return Step::Nothing;
    }
    let id = job.part.id.as_ref().or(memory.id.as_ref());
    if job.part.delete.is_some() || !job.part.delete_ids.is_empty() {
        return next_delete(job, id, memory, now);
    }
    let Some(id) = id else { return next_create(job, memory, now) };
    match &memory.remote {
        Remote::Gone => Step::Done(job.result(Outcome::Deleted, Some(id.clone()), None, now)),
        Remote::Unknown
            if job.part.id.is_some()
                && job.may_skip_read(now)
                && memory.attempts.of(job.change.data.version, 0) == 0 =>
        {
            next_update(job, id, &Stamp::default(), memory, now)
        }
        Remote::Unknown => Step::Read { id: id.clone() },
        Remote::Live(stamp) => next_update(job, id, stamp, memory, now),
    }
}

fn next_delete(job: &Job, id: Option<&String>, memory: &Memory, now: Millis) -> Step {
    let linked = id.filter(|_| job.part.delete.is_some());
    let done = |id: &String| {
        job.deleted.contains(id) || memory.remote == Remote::Gone && linked == Some(id)
    };
    if let Some(id) = linked.into_iter().chain(&job.part.delete_ids).find(|id| !done(id)) {
        return Step::Delete { id: id.clone() };
    }
    if id.is_none() && job.looked_at.is_none() {
        return look(job, now);
    }
    Step::Done(job.result(Outcome::Deleted, id.cloned(), None, now))
}

fn next_create(job: &Job, memory: &Memory, now: Millis) -> Step {
    let Some(first) = &job.part.first else {
        let why = "the event has neither a link nor a first version to create from";
        return Step::Done(job.failed(memory, why, now));
    };
    let (period, into) = job.period(now);
    if into > KEY_TRUST_MS {
        // Too late for the keys of this period and too early for the next: a repeat comes.
        return Step::Nothing;
    }
    // In an earlier period a request of ours may have landed under a key that is forgotten now.
    let looked = job.looked_at.is_some_and(|at| job.period(at).0 == period);
    if memory.must_look || period > 0 && !looked {
        return look(job, now);
    }
    let without: Vec<Field> = job.refused.keys().cloned().collect();
    Step::Create {
        customer: job.change.subject.clone(),
        fields: first.clone(),
        key: job.key(FIRST_VERSION, period, memory, &without),
        stamp: Stamp { version: FIRST_VERSION, refused: without.clone() },
        without,
    }
}

fn look(job: &Job, now: Millis) -> Step {
    let since = job.first_at.unwrap_or(0);
    Step::Look { customer: job.change.subject.clone(), since, asked_at: now }
}

fn next_update(job: &Job, id: &str, stamp: &Stamp, memory: &Memory, now: Millis) -> Step {
    let lacking = || job.part.pending.iter().filter(|(_, version)| **version > stamp.version);
    if lacking().next().is_none() {
        let mut result = job.result(job.outcome, Some(id.to_owned()), None, now);
        // Refused when an earlier try brought this version, and the result was lost.
        for field in refused_earlier(&job.part.pending, stamp) {
            result.refused.entry(field).or_insert_with(|| super::inbound::REFUSED_BY_STAMP.into());
        }
        return Step::Done(result);
    }
    // Even if each of them was refused, the stamp goes out and says so: what people change there
    // afterwards is then known to come after our try.
    let fields: Vec<_> = lacking()
        .map(|(field, _)| field)
        .filter(|field| !job.refused.contains_key(*field))
        .map(|field| (field.clone(), job.change.data.customer.fields.get(field).cloned()))
        .collect();
    let mut refused: Vec<Field> = job.refused.keys().cloned().collect();
    refused.extend(refused_earlier(&job.part.pending, stamp));
    refused.sort();
    refused.dedup();
    let version = job.change.data.version;
    let key = job.key(version, 0, memory, fields.iter().map(|(field, _)| field).chain(&refused));
    Step::Update {
        customer: job.change.subject.clone(),
        id: id.to_owned(),
        fields,
        stamp: Stamp { version, refused },
        key,
    }
}

fn refused_earlier(pending: &Pending, stamp: &Stamp) -> Vec<Field> {
    let contained = |field: &&Field| pending.get(*field).is_some_and(|own| *own <= stamp.version);
    stamp.refused.iter().filter(contained).cloned().collect()
}

/// Takes the answer to `step` in. `Some` is the end of it.
pub fn answered(
    job: &mut Job,
    memory: &mut Memory,
    step: &Step,
    answer: Answer,
    now: Millis,
) -> Option<SyncResult> {
    match step {
        Step::Look { asked_at, .. } => on_look(job, memory, answer, *asked_at, now),
        Step::Create { without, key, .. } => on_create(job, memory, (without, key), answer, now),
        Step::Update { .. } => on_update(job, memory, answer, now),
        Step::Read { id } => on_read(job, memory, id, answer, now),
        Step::Delete { id } => on_delete(job, memory, id, answer, now),
        Step::Nothing | Step::Done(_) => None,
    }
}

/// No answer came to this step, and it may have been done, or be done later: what Stripe has is no
/// longer known. To be called before the record is tried again, alone or with newer ones.
pub fn unanswered(memory: &mut Memory, step: &Step) {
    match step {
        Step::Create { .. } | Step::Update { .. } | Step::Delete { .. } => {
            memory.remote = Remote::Unknown;
        }
        Step::Look { .. } | Step::Read { .. } | Step::Nothing | Step::Done(_) => {}
    }
}

fn use_up_key(memory: &mut Memory, version: u64, period: i64) {
    let used = memory.attempts.of(version, period) + 1;
    memory.attempts = Attempts { version, period, used };
}

fn unexpected(job: &Job, memory: &Memory, answer: &Answer, now: Millis) -> SyncResult {
    let why = match answer {
        Answer::Failed { why } | Answer::Refused { why, .. } => why.clone(),
        Answer::Missing => "no such customer at Stripe".into(),
        Answer::Customer { .. } | Answer::KeyReused | Answer::StoredError | Answer::Found(_) => {
            "Stripe's answer does not fit the question".into()
        }
    };
    job.failed(memory, &why, now)
}

fn on_look(
    job: &mut Job,
    memory: &mut Memory,
    answer: Answer,
    asked_at: Millis,
    now: Millis,
) -> Option<SyncResult> {
    match answer {
        Answer::Found(found) => {
            memory.must_look = false;
            job.looked_at = Some(asked_at);
            match found {
                Found::Live { id } => {
                    memory.id = Some(id);
                    memory.remote = Remote::Unknown;
                }
                Found::Gone { id } => {
                    memory.id = Some(id);
                    memory.remote = Remote::Gone;
                }
                Found::Absent => {}
            }
            None
        }
        other => Some(unexpected(job, memory, &other, now)),
    }
}

fn on_create(
    job: &mut Job,
    memory: &mut Memory,
    (without, key): (&[Field], &str),
    answer: Answer,
    now: Millis,
) -> Option<SyncResult> {
    match answer {
        Answer::Customer { snapshot, replayed } => {
            memory.id = Some(snapshot.id.clone());
            job.outcome = Outcome::Created;
            // What was refused is the first value: a newer one has yet to be tried.
            job.refused.retain(|field, _| {
                job.part.pending.get(field).is_none_or(|version| *version <= FIRST_VERSION)
            });
            // A replayed answer tells the id only: what happened since is for a GET to say.
            memory.remote = match (replayed, snapshot.stamp) {
                (false, Some(stamp)) => Remote::Live(stamp),
                (_, _) => Remote::Unknown,
            };
            None
        }
        Answer::Refused { field, why } => refuse(job, memory, field, why, now),
        Answer::KeyReused | Answer::StoredError => {
            let (period, _) = job.period(now);
            // The answer may be to a key of an earlier period: that is used up anyway.
            if job.key(FIRST_VERSION, period, memory, without) == key {
                use_up_key(memory, FIRST_VERSION, period);
            }
            memory.must_look = true;
            None
        }
        other @ (Answer::Missing | Answer::Failed { .. } | Answer::Found(_)) => {
            Some(unexpected(job, memory, &other, now))
        }
    }
}

/// The rest goes without the refused field. A field refused that was not sent is no field's fault.
fn refuse(
    job: &mut Job,
    memory: &Memory,
    field: Field,
    why: String,
    now: Millis,
) -> Option<SyncResult> {
    if job.refused.contains_key(&field) {
        return Some(job.failed(memory, &why, now));
    }
    job.refused.insert(field, why);
    None
}

fn on_update(
    job: &mut Job,
    memory: &mut Memory,
    answer: Answer,
    now: Millis,
) -> Option<SyncResult> {
    let version = job.change.data.version;
    match answer {
        Answer::Customer { snapshot, replayed } => {
            if job.outcome == Outcome::Skipped {
                job.outcome = Outcome::Updated;
            }
            memory.id = Some(snapshot.id.clone());
            memory.remote = match (replayed, snapshot.stamp) {
                (false, Some(stamp)) => Remote::Live(stamp),
                (_, _) => {
                    use_up_key(memory, version, 0);
                    Remote::Unknown
                }
            };
            None
        }
        Answer::Refused { field, why } => refuse(job, memory, field, why, now),
        Answer::KeyReused | Answer::StoredError | Answer::Missing => {
            use_up_key(memory, version, 0);
            memory.remote = Remote::Unknown;
            None
        }
        other @ (Answer::Failed { .. } | Answer::Found(_)) => {
            Some(unexpected(job, memory, &other, now))
        }
    }
}

fn on_read(
    job: &mut Job,
    memory: &mut Memory,
    id: &str,
    answer: Answer,
    now: Millis,
) -> Option<SyncResult> {
    match answer {
        Answer::Customer { snapshot, .. } => {
            memory.id = Some(id.to_owned());
            memory.remote = if snapshot.deleted {
                Remote::Gone
            } else {
                let stamp = stamp_for(&snapshot, &job.change.subject);
                Remote::Live(stamp.cloned().unwrap_or_default())
            };
            None
        }
        other => Some(unexpected(job, memory, &other, now)),
    }
}

fn on_delete(
    job: &mut Job,
    memory: &mut Memory,
    id: &str,
    answer: Answer,
    now: Millis,
) -> Option<SyncResult> {
    match answer {
        // "Already gone" is done.
        Answer::Customer { .. } | Answer::Missing => {
            job.deleted.push(id.to_owned());
            job.outcome = Outcome::Deleted;
            if job.part.id.as_deref().or(memory.id.as_deref()) == Some(id) {
                memory.remote = Remote::Gone;
            }
            None
        }
        other => Some(unexpected(job, memory, &other, now)),
    }
}
