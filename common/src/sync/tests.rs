//! What simulated histories found, each as the few steps it takes.

mod doubts;
mod healed;
mod refused;

use super::announce::{self, Envelope};
use super::inbound::{self, Doubt, Seen, Took};
use super::outbound::{self, Answer, Found, Job, KEY_PERIOD_MS, KEY_TRUST_MS, Memory, Step};
use super::{Deletes, Entry, Policy, SyncState, results, write};
use crate::record::{
    API, Change, Field, Fields, Outcome, Previous, STRIPE, Snapshot, SyncResult, Value,
};

const NOW: i64 = 1_790_000_000_000;
const T: i64 = 1_790_000_000;

fn fields(pairs: &[(Field, &str)]) -> Fields {
    pairs.iter().map(|(field, text)| (field.clone(), Value::Text((*text).into()))).collect()
}

fn ada() -> Entry {
    write::create("c".into(), fields(&[(Field::Name, "Ada")]), &[STRIPE], NOW)
}

fn change(entry: &mut Entry) -> Change {
    let envelope = Envelope { event_id: "e".into(), now: NOW };
    announce::change(entry, API, &[], envelope)
}

fn edit(entry: &mut Entry, pairs: &[(Field, &str)]) {
    write::edit(entry, &fields(pairs), NOW);
}

fn sync(entry: &mut Entry) -> &mut SyncState {
    entry.systems.get_mut(STRIPE).expect("kept in step")
}

fn snapshot(pairs: &[(Field, &str)], stamp: &str) -> Snapshot {
    Snapshot {
        id: "cus_1".into(),
        catalog_id: Some("c".into()),
        stamp: stamp.parse().ok(),
        fields: fields(pairs),
        deleted: false,
    }
}

fn event(entry: &mut Entry, snapshot: &Snapshot, created: i64, previous: &Previous) -> Took {
    let seen = Seen::Event { created, previous };
    inbound::on_snapshot(entry, STRIPE, snapshot, &seen, &Policy::default(), NOW)
}

fn read(entry: &mut Entry, snapshot: &Snapshot, date: i64, doubt: &Doubt) -> Took {
    let seen = Seen::Read { date, doubt };
    inbound::on_snapshot(entry, STRIPE, snapshot, &seen, &Policy::default(), NOW)
}

fn job(entry: &mut Entry) -> Job {
    Job::new(change(entry), true).expect("a part for Stripe")
}

fn refusal() -> Answer {
    Answer::Refused { field: Field::Phone, why: "Invalid phone".into() }
}

fn answer(pairs: &[(Field, &str)], stamp: &str) -> Answer {
    Answer::Customer { snapshot: snapshot(pairs, stamp), replayed: false }
}

fn key(step: &Step) -> &str {
    match step {
        Step::Create { key, .. } | Step::Update { key, .. } => key,
        other => panic!("{other:?} has no key"),
    }
}

fn result(version: u64, outcome: Outcome, external_id: Option<&str>) -> SyncResult {
    SyncResult {
        event: "e".into(),
        customer: "c".into(),
        version,
        system: STRIPE.into(),
        outcome,
        external_id: external_id.map(str::to_owned),
        refused: std::collections::BTreeMap::default(),
        error: None,
        at: String::new(),
    }
}

#[test]
fn a_create_without_a_refused_field_has_the_same_key_after_its_answer_was_lost() {
    let pairs = [(Field::Name, "Ada"), (Field::Phone, "bad")];
    let mut entry = write::create("c".into(), fields(&pairs), &[STRIPE], NOW);
    let mut memory = Memory::default();
    let mut keys = Vec::new();
    for _ in 0..2 {
        let mut job = job(&mut entry);
        let whole = outbound::next(&job, &memory, NOW);
        outbound::answered(&mut job, &mut memory, &whole, refusal(), NOW);
        let rest = outbound::next(&job, &memory, NOW);
        keys.push(key(&rest).to_owned());
        outbound::unanswered(&mut memory, &rest);
    }
    assert_eq!(keys[0], keys[1]);
}

#[test]
fn a_first_value_that_was_refused_does_not_hold_back_its_correction() {
    let pairs = [(Field::Name, "Ada"), (Field::Phone, "bad")];
    let mut entry = write::create("c".into(), fields(&pairs), &[STRIPE], NOW);
    edit(&mut entry, &[(Field::Name, "Ada"), (Field::Phone, "1")]);
    let (mut job, mut memory) = (job(&mut entry), Memory::default());
    let step = outbound::next(&job, &memory, NOW);
    outbound::answered(&mut job, &mut memory, &step, refusal(), NOW);
    let step = outbound::next(&job, &memory, NOW);
    let made = answer(&[(Field::Name, "Ada")], "1 -phone");
    outbound::answered(&mut job, &mut memory, &step, made, NOW);
    let Step::Update { fields, .. } = outbound::next(&job, &memory, NOW) else {
        panic!("the phone number is still to be brought")
    };
    assert_eq!(fields, [(Field::Phone, Some(Value::Text("1".into())))]);
}

#[test]
fn after_an_update_without_an_answer_stripe_is_read_before_a_newer_one() {
    let mut entry = ada();
    sync(&mut entry).external_id = Some("cus_1".into());
    sync(&mut entry).acked = 1;
    edit(&mut entry, &[(Field::Name, "Bea")]);
    let (first, mut memory) = (job(&mut entry), Memory::default());
    let step = outbound::next(&first, &memory, NOW);
    assert!(matches!(step, Step::Update { .. }));
    outbound::unanswered(&mut memory, &step);
    edit(&mut entry, &[(Field::Name, "Bea"), (Field::Phone, "1")]);
    let second = job(&mut entry);
    assert_eq!(outbound::next(&second, &memory, NOW), Step::Read { id: "cus_1".into() });
}

#[test]
fn the_stamp_goes_out_even_if_every_field_is_refused() {
    let mut entry = ada();
    sync(&mut entry).external_id = Some("cus_1".into());
    sync(&mut entry).acked = 1;
    edit(&mut entry, &[(Field::Name, "Ada"), (Field::Phone, "bad")]);
    let (mut job, mut memory) = (job(&mut entry), Memory::default());
    let step = outbound::next(&job, &memory, NOW);
    outbound::answered(&mut job, &mut memory, &step, refusal(), NOW);
    let Step::Update { fields, stamp, .. } = outbound::next(&job, &memory, NOW) else {
        panic!("the stamp is still to be brought")
    };
    assert_eq!((fields.len(), stamp.to_string().as_str()), (0, "2 -phone"));
}

#[test]
fn a_refused_field_takes_no_edit_from_before_it_was_tried() {
    let mut entry = ada();
    edit(&mut entry, &[(Field::Name, "Ada"), (Field::Phone, "bad")]);
    let mut refused = result(2, Outcome::Updated, Some("cus_1"));
    refused.refused.insert(Field::Phone, "Invalid phone".into());
    results::on_result(&mut entry, &refused, Deletes::Mirror, NOW);
    let theirs = [(Field::Name, "Ada"), (Field::Phone, "1")];
    let previous = Previous { fields: vec![Field::Phone], stamp: None };
    let took = event(&mut entry, &snapshot(&theirs, "1"), T, &previous);
    assert_eq!((took.announce, took.conflicts.len()), (None, 1));
    let took = event(&mut entry, &snapshot(&theirs, "2 -phone"), T, &previous);
    assert_eq!(took.announce, Some((STRIPE.to_owned(), vec![Field::Phone])));
}

#[test]
fn an_event_older_than_a_listing_is_not_taken_for_newer() {
    let listed = Snapshot { catalog_id: None, ..snapshot(&[(Field::Name, "new")], "") };
    let mut entry = inbound::born(STRIPE, &[STRIPE], "cus_1".into(), &listed, &Seen::Listing, NOW);
    let old = Snapshot { fields: fields(&[(Field::Name, "old")]), ..listed };
    let took = event(&mut entry, &old, T, &Previous::default());
    assert!(took.doubt.is_some() && took.announce.is_none());
}

#[test]
fn a_deletion_that_found_nothing_stays_owed_when_the_customer_turns_up() {
    let mut entry = ada();
    write::delete(&mut entry, Deletes::Mirror, NOW);
    event(&mut entry, &snapshot(&[(Field::Name, "Ada")], "1"), T, &Previous::default());
    results::on_result(&mut entry, &result(2, Outcome::Deleted, None), Deletes::Mirror, NOW);
    assert_eq!(sync(&mut entry).pending_delete(), Some(3), "sent again at once");
    results::on_result(&mut entry, &result(2, Outcome::Deleted, None), Deletes::Mirror, NOW);
    assert_eq!(sync(&mut entry).pending_delete(), Some(3), "once");
    let done = result(3, Outcome::Deleted, Some("cus_1"));
    results::on_result(&mut entry, &done, Deletes::Mirror, NOW);
    assert!(!entry.wants(STRIPE));
}

#[test]
fn nothing_is_created_between_two_periods_and_keys_of_one_are_no_keys_of_the_next() {
    let mut entry = ada();
    let (mut job, mut memory) = (job(&mut entry), Memory::default());
    let first = outbound::next(&job, &memory, NOW + KEY_TRUST_MS);
    assert_eq!(outbound::next(&job, &memory, NOW + KEY_TRUST_MS + 1), Step::Nothing);
    let later = NOW + KEY_PERIOD_MS;
    let look = outbound::next(&job, &memory, later);
    assert!(matches!(look, Step::Look { .. }));
    let absent = Answer::Found(Found::Absent);
    outbound::answered(&mut job, &mut memory, &look, absent, later);
    let second = outbound::next(&job, &memory, later);
    assert_ne!(key(&first), key(&second));
    assert!(matches!(outbound::next(&job, &memory, later + KEY_PERIOD_MS), Step::Look { .. }));
}

#[test]
fn a_look_up_that_was_answered_a_day_late_does_not_count() {
    let mut entry = ada();
    let (mut job, mut memory) = (job(&mut entry), Memory::default());
    let asked = NOW + KEY_PERIOD_MS;
    let look = outbound::next(&job, &memory, asked);
    let answered = asked + KEY_PERIOD_MS;
    let absent = Answer::Found(Found::Absent);
    outbound::answered(&mut job, &mut memory, &look, absent, answered);
    assert!(matches!(outbound::next(&job, &memory, answered), Step::Look { .. }));
}

#[test]
fn what_a_relay_may_have_produced_before_is_checked_against_stripe() {
    let mut entry = ada();
    sync(&mut entry).external_id = Some("cus_1".into());
    sync(&mut entry).acked = 1;
    edit(&mut entry, &[(Field::Name, "Bea")]);
    let mut change = change(&mut entry);
    announce::maybe_before(&mut change);
    let job = Job::new(change, true).expect("a part for Stripe");
    let step = outbound::next(&job, &Memory::default(), NOW);
    assert_eq!(step, Step::Read { id: "cus_1".into() });
}

#[test]
fn a_stamp_copied_from_another_customer_is_not_taken_for_ours() {
    let mut entry = ada();
    results::on_result(
        &mut entry,
        &result(1, Outcome::Created, Some("cus_1")),
        Deletes::Mirror,
        NOW,
    );
    edit(&mut entry, &[(Field::Name, "Bea")]);
    let pairs = [(Field::Name, "Ada")];
    let copied = Snapshot { catalog_id: Some("d".into()), ..snapshot(&pairs, "9") };
    let took = event(&mut entry, &copied, T, &Previous::default());
    let doubt = took.doubt.expect("in doubt");
    let took = read(&mut entry, &copied, T, &doubt);
    assert!(took.announce.is_some(), "the stamp is put back");
    assert!(sync(&mut entry).pending().contains_key(&Field::Name), "our edit is still owed");

    let (mut job, mut memory) = (job(&mut entry), Memory::default());
    let step = Step::Read { id: "cus_1".into() };
    let answer = Answer::Customer { snapshot: copied, replayed: false };
    outbound::answered(&mut job, &mut memory, &step, answer, NOW);
    let step = outbound::next(&job, &memory, NOW);
    assert!(matches!(&step, Step::Update { customer, .. } if customer == "c"), "{step:?}");
}

#[test]
fn an_edit_at_stripe_is_taken_although_the_stamp_was_taken_off_with_it() {
    let mut entry = ada();
    results::on_result(
        &mut entry,
        &result(1, Outcome::Created, Some("cus_1")),
        Deletes::Mirror,
        NOW,
    );
    let bare = snapshot(&[(Field::Name, "Bea")], "");
    let previous = Previous { fields: vec![Field::Name], stamp: Some(1) };
    let doubt = event(&mut entry, &bare, T, &previous).doubt.expect("in doubt");
    let took = read(&mut entry, &bare, T, &doubt);
    assert_eq!(took.announce, Some((STRIPE.to_owned(), vec![Field::Name])));
    assert!(sync(&mut entry).pending().contains_key(&Field::Stamp));
}

#[test]
fn our_first_write_arriving_late_is_no_late_write() {
    let pairs = [(Field::Name, "Ada")];
    let listed = Snapshot { catalog_id: None, ..snapshot(&pairs, "") };
    let none = Previous::default();
    let seen = Seen::Event { created: T, previous: &none };
    let mut entry = inbound::born(STRIPE, &[STRIPE], "cus_1".into(), &listed, &seen, NOW);
    event(&mut entry, &Snapshot { catalog_id: None, ..snapshot(&pairs, "3") }, T + 9, &none);
    let first = Previous { fields: vec![Field::Name], stamp: Some(0) };
    let took =
        event(&mut entry, &Snapshot { catalog_id: None, ..snapshot(&pairs, "2") }, T + 8, &first);
    assert_eq!(took, Took { note: took.note, ..Took::default() }, "merely older");
}

#[test]
fn a_doubt_that_nobody_may_ask_about_sends_the_stamp_once_and_the_fields_of_a_late_write() {
    let none = Previous::default();
    let mut entry = ada();
    event(&mut entry, &snapshot(&[(Field::Name, "Ada")], "1"), T, &none);
    let theirs = snapshot(&[(Field::Name, "Bob")], "1");
    for stamped in [2, 2] {
        let doubt = event(&mut entry, &theirs, T, &none).doubt.expect("of the same second");
        inbound::unasked(&mut entry, STRIPE, &theirs, &doubt, NOW);
        assert_eq!(entry.customer.version, stamped);
    }
    assert_eq!(sync(&mut entry).doubt, Some(NOW));
    assert_eq!(sync(&mut entry).pending(), [(Field::Stamp, 2)].into());
    event(
        &mut entry,
        &snapshot(&[(Field::Name, "Bob")], "2"),
        T,
        &Previous { stamp: Some(1), ..none },
    );
    assert_eq!(entry.customer.fields, fields(&[(Field::Name, "Bob")]), "what came back is taken");
    assert_eq!(sync(&mut entry).doubt, None);

    edit(&mut entry, &[(Field::Name, "Cy")]);
    sync(&mut entry).acked = 4;
    let late = snapshot(&[(Field::Name, "Bob")], "2");
    let previous = Previous { fields: vec![Field::Name], stamp: Some(4) };
    let doubt = event(&mut entry, &late, T, &previous).doubt.expect("the stamp went back");
    inbound::unasked(&mut entry, STRIPE, &late, &doubt, NOW);
    assert_eq!(sync(&mut entry).pending(), [(Field::Name, 5), (Field::Stamp, 5)].into());
}

#[test]
fn the_stamp_of_a_copy_that_was_taken_off_says_nothing_of_what_has_landed() {
    let mut entry = ada();
    results::on_result(
        &mut entry,
        &result(1, Outcome::Created, Some("cus_1")),
        Deletes::Mirror,
        NOW,
    );
    edit(&mut entry, &[(Field::Name, "Bea")]);
    let bare = Snapshot { catalog_id: Some("d".into()), ..snapshot(&[(Field::Name, "Ada")], "") };
    let previous = Previous { fields: Vec::new(), stamp: Some(9) };
    let doubt = event(&mut entry, &bare, T, &previous).doubt.expect("in doubt");
    read(&mut entry, &bare, T, &doubt);
    assert!(sync(&mut entry).pending().contains_key(&Field::Name), "our edit is still owed");
}

#[test]
fn the_refusal_of_an_old_version_is_none_of_what_came_after_it() {
    let mut entry = ada();
    edit(&mut entry, &[(Field::Name, "Bea")]);
    let failed =
        |version| SyncResult { error: Some("no".into()), ..result(version, Outcome::Failed, None) };
    results::on_result(&mut entry, &failed(1), Deletes::Mirror, NOW);
    assert_eq!(sync(&mut entry).error, None);
    results::on_result(&mut entry, &failed(2), Deletes::Mirror, NOW);
    assert_eq!(sync(&mut entry).error.as_deref(), Some("no"));
}
