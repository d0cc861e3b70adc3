//! A simulated Stripe, as far as customers go: idempotency memory, events, whole-second times.

use crate::in_force::holds;
use crate::sync::outbound::{Answer, Found, Step};
use crate::sync::rules::Rule;
use common::record::snapshot::EventKind;
use common::record::{Field, Fields, Millis, Previous, Seconds, Snapshot, Stamp, Value};

use super::rng::Rng;
use super::{FIELDS, field};

/// Stripe forgets a key this long after its first use.
pub const KEY_KEPT_MS: Millis = 24 * 60 * 60 * 1000;

/// Values that Stripe keeps in another form: as none, or in lower case.
pub const MADE_EMPTY: &str = "_";
pub const MADE_LOWER: &str = "B";

/// A name for which Stripe refuses the whole request, naming no field.
pub const FATAL_NAME: &str = "no";

/// The phone number that Stripe refuses.
pub const REFUSED_PHONE: &str = "bad";

/// Who set a value that Stripe holds, and when in the order of all changes there.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Author {
    #[default]
    Nobody,
    Ours(u64),
    Person(u32),
    /// Stripe made it of a value of ours.
    Made(u32),
}

#[derive(Clone, Debug, Hash)]
pub struct Customer {
    pub snapshot: Snapshot,
    pub authors: [Author; FIELDS],
    pub created: Seconds,
    pub created_at: Millis,
    /// The catalog customer that our create was for.
    pub made_for: Option<String>,
    /// A write of ours stamped it.
    pub stamped: bool,
    /// The change that touched it last, in the order of all changes.
    pub changed: u32,
}

#[derive(Clone, Debug, Hash)]
pub struct Event {
    pub kind: EventKind,
    pub created: Seconds,
    pub created_at: Millis,
    pub snapshot: Snapshot,
    pub previous: Previous,
    pub authors: [Author; FIELDS],
    pub object: usize,
    /// The order of all changes when it was made.
    pub order: u32,
    /// It came to the topic at least once.
    pub delivered: bool,
}

#[derive(Clone, Debug, Hash)]
pub(super) enum Stored {
    Answer(Snapshot),
    Error,
}

/// What a request did, for the ground truth.
#[derive(Clone, Debug)]
pub struct Effect {
    pub object: usize,
    /// The customer as it was; `None` when it was created.
    pub before: Option<(Snapshot, [Author; FIELDS])>,
    /// The change before this one, in the order of all changes.
    pub last: u32,
}

/// How Stripe fares with one request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    Fine,
    AnswerLost,
    /// Stored 500, the effect had or not.
    StoredError(bool),
}

#[derive(Clone, Debug, Default)]
pub struct Stripe {
    pub customers: Vec<Customer>,
    pub events: Vec<Event>,
    pub(super) keys: Vec<(String, Millis, Step, Stored)>,
    /// The order of all changes.
    pub order: u32,
    /// Stripe's clock less the catalog's.
    pub skew_ms: Millis,
    pub writes: u32,
    pub reads: u32,
    /// Every value that a person set: of which customer and field, and when in the order.
    pub person_set: Vec<(usize, usize, Option<Value>, u32)>,
}

impl Stripe {
    pub fn seconds(&self, now: Millis, rng: &mut Rng) -> Seconds {
        // Its servers' clocks differ a little among themselves.
        (now + self.skew_ms + rng.between(-400, 400)) / 1000
    }

    pub fn index(id: &str) -> Option<usize> {
        id.strip_prefix("cus_")?.parse().ok()
    }

    /// Does what a request says. `Err`: an answer that says to try again.
    pub fn perform(
        &mut self,
        step: &Step,
        fate: Fate,
        now: Millis,
        rng: &mut Rng,
    ) -> (Result<Answer, ()>, Option<Effect>) {
        let (answer, effect) = match step {
            Step::Look { customer, since, .. } => (Ok(self.look(customer, *since)), None),
            Step::Read { id } => {
                self.reads += 1;
                let snapshot = Self::index(id).and_then(|at| self.customers.get(at));
                let answer = snapshot.map_or(Answer::Missing, |customer| Answer::Customer {
                    snapshot: customer.shown(),
                    replayed: false,
                });
                (Ok(answer), None)
            }
            Step::Delete { id } => match Self::index(id) {
                Some(at) if at < self.customers.len() && !self.customers[at].snapshot.deleted => {
                    let effect = self.delete(at, now, rng);
                    let snapshot = self.customers[at].shown();
                    (Ok(Answer::Customer { snapshot, replayed: false }), Some(effect))
                }
                _ => (Ok(Answer::Missing), None),
            },
            Step::Create { key, .. } | Step::Update { key, .. } => {
                self.keyed(step, key, fate, now, rng)
            }
            Step::Nothing | Step::Done(_) => (Err(()), None),
        };
        if fate == Fate::AnswerLost { (Err(()), effect) } else { (answer, effect) }
    }

    fn keyed(
        &mut self,
        step: &Step,
        key: &str,
        fate: Fate,
        now: Millis,
        rng: &mut Rng,
    ) -> (Result<Answer, ()>, Option<Effect>) {
        // Validation comes before the idempotency layer.
        let refused = |value: Option<&Value>| match value {
            Some(Value::Text(text)) => text == REFUSED_PHONE,
            Some(Value::Address(_)) | None => false,
        };
        let refuses = match step {
            Step::Create { fields, without, .. } => {
                !without.contains(&Field::Phone) && refused(fields.get(&Field::Phone))
            }
            Step::Update { fields, .. } => {
                fields.iter().any(|(f, value)| *f == Field::Phone && refused(value.as_ref()))
            }
            _ => false,
        };
        if refuses {
            let why = "Invalid phone".to_owned();
            return (Ok(Answer::Refused { field: Field::Phone, why }), None);
        }
        let name = match step {
            Step::Create { fields, .. } => fields.get(&Field::Name),
            Step::Update { fields, .. } => {
                fields.iter().find(|(f, _)| *f == Field::Name).and_then(|(_, value)| value.as_ref())
            }
            _ => None,
        };
        if matches!(name, Some(Value::Text(text)) if text == FATAL_NAME) {
            return (Ok(Answer::Failed { why: "no".into() }), None);
        }
        self.keys.retain(|(_, at, ..)| now - at < KEY_KEPT_MS);
        if let Some((_, _, first, stored)) = self.keys.iter().find(|(known, ..)| known == key) {
            let answer = match stored {
                _ if first != step => Answer::KeyReused,
                Stored::Answer(snapshot) => {
                    Answer::Customer { snapshot: snapshot.clone(), replayed: true }
                }
                Stored::Error => Answer::StoredError,
            };
            return (Ok(answer), None);
        }
        if let Step::Update { id, .. } = step {
            let live = Self::index(id)
                .and_then(|at| self.customers.get(at))
                .is_some_and(|customer| !customer.snapshot.deleted);
            if !live {
                return (Ok(Answer::Missing), None);
            }
        }
        if fate == Fate::StoredError(false) {
            self.keys.push((key.to_owned(), now, step.clone(), Stored::Error));
            return (Err(()), None);
        }
        let effect = match step {
            Step::Create { .. } => self.create_ours(step, now, rng),
            _ => self.update_ours(step, now, rng),
        };
        let Some(effect) = effect else { return (Err(()), None) };
        let snapshot = self.customers[effect.object].snapshot.clone();
        if fate == Fate::StoredError(true) {
            self.keys.push((key.to_owned(), now, step.clone(), Stored::Error));
            return (Err(()), Some(effect));
        }
        self.keys.push((key.to_owned(), now, step.clone(), Stored::Answer(snapshot.clone())));
        (Ok(Answer::Customer { snapshot, replayed: false }), Some(effect))
    }

    fn create_ours(&mut self, step: &Step, now: Millis, rng: &mut Rng) -> Option<Effect> {
        let Step::Create { customer, fields, without, stamp, .. } = step else { return None };
        let mut fields = fields.clone();
        for field in without {
            fields.set(field.clone(), None);
        }
        self.writes += 1;
        let order = self.order + 1;
        let mut authors = [Author::Ours(stamp.version); FIELDS];
        for (at, author) in authors.iter_mut().enumerate() {
            let made = kept(fields.get(&field(at)).cloned());
            if made.as_ref() != fields.get(&field(at)) {
                *author = Author::Made(order);
                fields.set(field(at), made);
            }
        }
        let object = self.born(fields, Author::Nobody, now, rng, |made| {
            made.authors = authors;
            made.snapshot.catalog_id = Some(customer.clone());
            made.snapshot.stamp = Some(stamp.clone());
            made.made_for = Some(customer.clone());
            made.stamped = true;
        });
        Some(Effect { object, before: None, last: 0 })
    }

    /// A customer is there now, and its event.
    pub fn born(
        &mut self,
        fields: Fields,
        author: Author,
        now: Millis,
        rng: &mut Rng,
        fill: impl FnOnce(&mut Customer),
    ) -> usize {
        let object = self.customers.len();
        self.order += 1;
        let mut customer = Customer {
            snapshot: Snapshot {
                id: format!("cus_{object}"),
                catalog_id: None,
                stamp: None,
                fields,
                deleted: false,
            },
            authors: [author; FIELDS],
            created: self.seconds(now, rng),
            created_at: now,
            made_for: None,
            stamped: false,
            changed: self.order,
        };
        fill(&mut customer);
        self.customers.push(customer);
        self.event(object, EventKind::Created, Previous::default(), now, rng);
        object
    }

    fn update_ours(&mut self, step: &Step, now: Millis, rng: &mut Rng) -> Option<Effect> {
        let Step::Update { customer, id, fields, stamp, .. } = step else { return None };
        let object = Self::index(id)?;
        let mut relinked = false;
        if holds(Rule::LinkWithEveryUpdate) {
            let link = self.customers[object].snapshot.catalog_id.replace(customer.clone());
            relinked = link.as_ref() != Some(customer);
        }
        self.writes += 1;
        self.customers[object].stamped = true;
        let fields: Vec<_> = fields.iter().filter(|(f, _)| *f != Field::Stamp).cloned().collect();
        let before = self.customers[object].snapshot.clone();
        let (authors, last) = (self.customers[object].authors, self.customers[object].changed);
        let author = Author::Ours(stamp.version);
        let stamp = Some(stamp).filter(|_| holds(Rule::StampWithEveryUpdate));
        let events = self.events.len();
        self.change(object, &fields, author, stamp, now, rng);
        if relinked && events == self.events.len() {
            self.link_changed(object, now, rng);
        }
        Some(Effect { object, before: Some((before, authors)), last })
    }

    /// Sets fields and stamp, and makes the event that says so. An update that changes nothing
    /// makes an event sometimes.
    pub fn change(
        &mut self,
        object: usize,
        fields: &[(Field, Option<Value>)],
        author: Author,
        stamp: Option<&Stamp>,
        now: Millis,
        rng: &mut Rng,
    ) {
        self.order += 1;
        let customer = &mut self.customers[object];
        let mut previous = Previous::default();
        for (name, sent) in fields {
            let value = &if is_ours(author) { kept(sent.clone()) } else { sent.clone() };
            if customer.snapshot.fields.get(name) != value.as_ref() {
                previous.fields.push(name.clone());
                customer.snapshot.fields.set(name.clone(), value.clone());
            }
            for at in 0..FIELDS {
                if field(at) == *name && (previous.fields.contains(name) || is_ours(author)) {
                    let as_sent = value == sent;
                    customer.authors[at] = if as_sent { author } else { Author::Made(self.order) };
                }
            }
        }
        if let Some(stamp) = stamp
            && customer.snapshot.stamp.as_ref() != Some(stamp)
        {
            previous.stamp = Some(customer.snapshot.stamp_version());
            customer.snapshot.stamp = Some(stamp.clone());
        }
        customer.changed = self.order;
        let empty = previous.fields.is_empty() && previous.stamp.is_none();
        if !empty || rng.chance(500) {
            self.event(object, EventKind::Updated, previous, now, rng);
        }
    }

    /// Nothing but `catalog_id` changed: it is no field of ours, but there is an event.
    pub fn link_changed(&mut self, object: usize, now: Millis, rng: &mut Rng) {
        self.event(object, EventKind::Updated, Previous::default(), now, rng);
    }

    pub fn delete(&mut self, object: usize, now: Millis, rng: &mut Rng) -> Effect {
        self.order += 1;
        let customer = &mut self.customers[object];
        let before = (customer.snapshot.clone(), customer.authors);
        let last = customer.changed;
        customer.snapshot.deleted = true;
        customer.changed = self.order;
        self.event(object, EventKind::Deleted, Previous::default(), now, rng);
        Effect { object, before: Some(before), last }
    }

    pub fn event(
        &mut self,
        object: usize,
        kind: EventKind,
        previous: Previous,
        now: Millis,
        rng: &mut Rng,
    ) {
        let created = self.seconds(now, rng);
        let customer = &self.customers[object];
        self.events.push(Event {
            kind,
            created,
            created_at: now,
            snapshot: customer.snapshot.clone(),
            previous,
            authors: customer.authors,
            object,
            order: self.order,
            delivered: false,
        });
    }

    /// As the look-up does it: live ones first, then the deleted; with a stamp now, and with our
    /// `catalog_id` already when they were created, as their creation's event says. A person's
    /// copy got its metadata later.
    fn look(&self, customer: &str, since: Millis) -> Answer {
        let since = since - super::LOOK_SLACK_MS;
        let ours = |made: &&Customer| {
            made.snapshot.catalog_id.as_deref() == Some(customer)
                && (made.made_for.as_deref() == Some(customer) || !holds(Rule::LookKnowsOurOwn))
                && made.snapshot.stamp.is_some()
                && (made.created + 1) * 1000 >= since
        };
        let found = |deleted: bool| {
            self.customers.iter().filter(ours).find(|made| made.snapshot.deleted == deleted)
        };
        Answer::Found(match (found(false), found(true)) {
            (Some(live), _) => Found::Live { id: live.snapshot.id.clone() },
            (None, Some(gone)) => Found::Gone { id: gone.snapshot.id.clone() },
            (None, None) => Found::Absent,
        })
    }
}

/// What Stripe makes of a value that we send.
fn kept(value: Option<Value>) -> Option<Value> {
    let text = match &value {
        Some(Value::Text(text)) => text.as_str(),
        Some(Value::Address(_)) | None => return value,
    };
    match text {
        MADE_EMPTY => None,
        MADE_LOWER => Some(Value::Text(MADE_LOWER.to_lowercase())),
        _ => value,
    }
}

fn is_ours(author: Author) -> bool {
    matches!(author, Author::Ours(_))
}

impl Customer {
    /// As a GET shows it: a deleted one is a stub.
    pub fn shown(&self) -> Snapshot {
        if !self.snapshot.deleted {
            return self.snapshot.clone();
        }
        Snapshot {
            id: self.snapshot.id.clone(),
            catalog_id: None,
            stamp: None,
            fields: Fields::new(),
            deleted: true,
        }
    }
}
