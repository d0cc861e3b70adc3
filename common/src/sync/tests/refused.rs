//! Of values that Stripe refuses, and of what failed as a whole.

use super::*;

fn refusing(version: u64, outcome: Outcome, why: &str) -> SyncResult {
    SyncResult {
        refused: [(Field::Phone, why.to_owned())].into(),
        ..result(version, outcome, Some("cus_1"))
    }
}

fn take(entry: &mut Entry, result: &SyncResult) {
    results::on_result(entry, result, Deletes::Mirror, NOW);
}

#[test]
fn the_correction_of_a_refused_first_value_is_tried_too_when_a_look_up_found_the_customer() {
    let pairs = [(Field::Name, "Ada"), (Field::Phone, "bad")];
    let mut entry = write::create("c".into(), fields(&pairs), &[STRIPE], NOW);
    edit(&mut entry, &[(Field::Name, "Ada"), (Field::Phone, "good")]);
    let (mut job, mut memory) = (job(&mut entry), Memory::default());
    let found = Answer::Found(Found::Live { id: "cus_1".into() });
    let now = answer(&[(Field::Name, "Ada")], "1 -phone");
    for said in [refusal(), Answer::StoredError, found, now] {
        let step = outbound::next(&job, &memory, NOW);
        assert_eq!(outbound::answered(&mut job, &mut memory, &step, said, NOW), None);
    }
    let step = outbound::next(&job, &memory, NOW);
    let Step::Update { fields, stamp, .. } = &step else { panic!("{step:?}") };
    assert_eq!(fields.len(), 1, "the phone number: {fields:?}");
    assert_eq!(stamp.to_string(), "2");
}

#[test]
fn a_field_that_is_sent_and_one_that_is_left_out_make_two_keys() {
    let mut entry = ada();
    take(&mut entry, &result(1, Outcome::Created, Some("cus_1")));
    edit(&mut entry, &[(Field::Name, "Ada"), (Field::Phone, "bad")]);
    let (mut job, mut memory) = (job(&mut entry), Memory::default());
    let sent = outbound::next(&job, &memory, NOW);
    outbound::answered(&mut job, &mut memory, &sent, refusal(), NOW);
    let left_out = outbound::next(&job, &memory, NOW);
    assert_ne!(key(&sent), key(&left_out));
}

#[test]
fn stripes_own_words_are_not_replaced_by_what_a_later_stamp_says() {
    let pairs = [(Field::Name, "Ada"), (Field::Phone, "bad")];
    let mut entry = write::create("c".into(), fields(&pairs), &[STRIPE], NOW);
    take(&mut entry, &refusing(1, Outcome::Created, "Invalid phone"));
    take(&mut entry, &refusing(2, Outcome::Updated, inbound::REFUSED_BY_STAMP));
    assert_eq!(sync(&mut entry).refused[&Field::Phone].why, "Invalid phone");
}

#[test]
fn an_older_result_that_comes_late_does_not_clear_why_a_newer_change_failed() {
    let mut entry = ada();
    edit(&mut entry, &[(Field::Name, "no")]);
    let failed = result(2, Outcome::Failed, Some("cus_1"));
    take(&mut entry, &SyncResult { error: Some("no".into()), ..failed });
    take(&mut entry, &result(1, Outcome::Created, Some("cus_1")));
    assert_eq!(sync(&mut entry).error.as_deref(), Some("no"));
}
