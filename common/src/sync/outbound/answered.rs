//! What an answer means.

use super::{Answer, Attempts, FIRST_VERSION, Found, Job, Memory, Remote, Step};
use crate::in_force::holds;
use crate::record::{Field, Millis, Outcome, SyncResult};
use crate::sync::rules::Rule;
use crate::sync::state::stamp_for;

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
        Step::Create { .. } | Step::Update { .. } | Step::Delete { .. }
            if holds(Rule::UnansweredIsUnknown) =>
        {
            memory.remote = Remote::Unknown;
        }
        Step::Create { .. }
        | Step::Update { .. }
        | Step::Delete { .. }
        | Step::Look { .. }
        | Step::Read { .. }
        | Step::Nothing
        | Step::Done(_) => {}
    }
}

fn use_up_key(memory: &mut Memory, version: u64, period: i64) {
    let used = memory.attempts.of(version, period) + u32::from(holds(Rule::AttemptRises));
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
            job.looked_at = Some(if holds(Rule::LookCountsFromAsking) { asked_at } else { now });
            match found {
                Found::Live { id } => {
                    memory.id = Some(id);
                    memory.remote = Remote::Unknown;
                    keep_refusals_of_newest(job);
                }
                Found::Gone { .. } if !holds(Rule::FoundGoneCounts) => {}
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
            keep_refusals_of_newest(job);
            // A replayed answer tells the id only: what happened since is for a GET to say.
            memory.remote = match (replayed, snapshot.stamp) {
                (replayed, Some(stamp)) if !replayed || !holds(Rule::ReplayTellsId) => {
                    Remote::Live(stamp)
                }
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
            memory.must_look = holds(Rule::LookAfterStoredError);
            None
        }
        other @ (Answer::Missing | Answer::Failed { .. } | Answer::Found(_)) => {
            Some(unexpected(job, memory, &other, now))
        }
    }
}

/// What was refused up to here is the first value: a newer one has yet to be tried.
fn keep_refusals_of_newest(job: &mut Job) {
    job.refused.retain(|field, _| {
        let newest = job.part.pending.get(field);
        newest.is_none_or(|version| *version <= FIRST_VERSION) || !holds(Rule::CorrectionIsTried)
    });
}

/// The rest goes without the refused field. A field refused that was not sent is no field's fault.
fn refuse(
    job: &mut Job,
    memory: &Memory,
    field: Field,
    why: String,
    now: Millis,
) -> Option<SyncResult> {
    if job.refused.contains_key(&field) || !holds(Rule::RestWithoutRefused) {
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
                (replayed, Some(stamp)) if !replayed || !holds(Rule::ReplayTellsId) => {
                    Remote::Live(stamp)
                }
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
        Answer::Missing if !holds(Rule::GoneIsDone) => {
            Some(unexpected(job, memory, &Answer::Missing, now))
        }
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
