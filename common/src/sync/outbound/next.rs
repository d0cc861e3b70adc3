//! The next step.

use super::{FIRST_VERSION, Job, KEY_TRUST_MS, Memory, Remote, Step};
use crate::in_force::holds;
use crate::record::{Field, Millis, Outcome, Pending, Stamp};
use crate::sync::rules::Rule;

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
                && (memory.attempts.of(job.change.data.version, 0) == 0
                    || !holds(Rule::ReadAfterAttempt)) =>
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
    if id.is_none() && job.looked_at.is_none() && holds(Rule::DeleteLooks) {
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
    if into > KEY_TRUST_MS && holds(Rule::NothingBetweenPeriods) {
        // Too late for the keys of this period and too early for the next: a repeat comes.
        return Step::Nothing;
    }
    // In an earlier period a request of ours may have landed under a key that is forgotten now.
    let looked = job.looked_at.is_some_and(|at| job.period(at).0 == period);
    let is_old = period > 0 && holds(Rule::LookInLaterPeriods);
    if memory.must_look || is_old && !looked {
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
    let known = holds(Rule::OnlyAboveStamp) || job.outcome != Outcome::Skipped;
    let above = if known { stamp.version } else { job.part.acked };
    let lacking = || job.part.pending.iter().filter(|(_, version)| **version > above);
    let all_refused = || lacking().all(|(field, _)| job.refused.contains_key(field));
    if lacking().next().is_none() || all_refused() && !holds(Rule::StampThoughAllRefused) {
        let mut result = job.result(job.outcome, Some(id.to_owned()), None, now);
        // Refused when an earlier try brought this version, and the result was lost.
        for field in refused_earlier(&job.part.pending, stamp) {
            result
                .refused
                .entry(field)
                .or_insert_with(|| crate::sync::inbound::REFUSED_BY_STAMP.into());
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
    let without = refused.iter().map(|field| format!("-{field}"));
    let named = fields.iter().map(|(field, _)| field.to_string()).chain(without);
    let key = job.key(version, 0, memory, named);
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
