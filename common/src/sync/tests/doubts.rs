//! Of doubts that a GET settles, and of those that nobody may ask about.

use super::*;

/// Created at Stripe; of a phone number it is said that it was refused.
fn linked(pairs: &[(Field, &str)]) -> Entry {
    let mut entry = write::create("c".into(), fields(pairs), &[STRIPE], NOW);
    let stamp = if pairs.len() > 1 { "1 -phone" } else { "1" };
    event(&mut entry, &snapshot(&[(Field::Name, "Ada")], stamp), T, &Previous::default());
    assert_eq!(sync(&mut entry).refused.contains_key(&Field::Phone), pairs.len() > 1);
    entry
}

fn put_aside(entry: &mut Entry, theirs: &Snapshot, previous: &Previous) {
    let doubt = event(entry, theirs, T, previous).doubt.expect("of the same second");
    let took = inbound::unasked(entry, STRIPE, theirs, &doubt, NOW);
    assert_eq!(took.conflicts, [], "nobody knows yet");
}

#[test]
fn a_stamp_found_below_the_one_that_was_taken_off_is_a_late_write() {
    let mut entry = linked(&[(Field::Name, "Ada")]);
    edit(&mut entry, &[(Field::Name, "Bea")]);
    sync(&mut entry).acked = 2;
    let bare = snapshot(&[(Field::Name, "Bea")], "");
    let taken_off = Previous { fields: Vec::new(), stamp: Some(2) };
    let doubt = event(&mut entry, &bare, T + 9, &taken_off).doubt.expect("without a stamp");
    read(&mut entry, &snapshot(&[(Field::Name, "Ada")], "1"), T + 9, &doubt);
    assert_eq!(entry.customer.fields, fields(&[(Field::Name, "Bea")]), "ours is not reverted");
    assert_eq!(sync(&mut entry).pending(), [(Field::Name, 3), (Field::Stamp, 3)].into());
}

#[test]
fn an_edit_put_aside_that_ours_has_overwritten_by_the_end_is_a_conflict() {
    let mut entry = linked(&[(Field::Name, "Ada")]);
    let told = Previous { fields: vec![Field::Name], stamp: None };
    put_aside(&mut entry, &snapshot(&[(Field::Name, "Cy")], "1"), &told);
    edit(&mut entry, &[(Field::Name, "Bea")]);
    let landed = snapshot(&[(Field::Name, "Bea")], "3");
    let previous = Previous { fields: vec![Field::Name], stamp: Some(1) };
    let took = event(&mut entry, &landed, T + 9, &previous);
    let theirs = |took: &Took| took.conflicts.iter().map(|c| c.theirs.clone()).collect::<Vec<_>>();
    assert_eq!(theirs(&took), [Some(Value::Text("Cy".into()))]);
    let again = event(&mut entry, &landed, T + 9, &previous);
    assert_eq!((theirs(&again), sync(&mut entry).doubt), (Vec::new(), None));
}

#[test]
fn an_edit_put_aside_of_a_field_that_was_refused_is_taken_when_it_stands() {
    let mut entry = linked(&[(Field::Name, "Ada"), (Field::Phone, "bad")]);
    let pairs = [(Field::Name, "Ada"), (Field::Phone, "123")];
    let told = Previous { fields: vec![Field::Phone], stamp: None };
    put_aside(&mut entry, &snapshot(&pairs, "1"), &told);
    let stamped = Previous { fields: Vec::new(), stamp: Some(1) };
    event(&mut entry, &snapshot(&pairs, "2"), T + 9, &stamped);
    assert_eq!(entry.customer.fields, fields(&pairs));
    assert!(sync(&mut entry).refused.is_empty());
}

#[test]
fn a_stamp_on_its_way_that_stood_there_and_was_taken_off_is_sent_anew() {
    let mut entry = linked(&[(Field::Name, "Ada")]);
    let told = Previous { fields: vec![Field::Name], stamp: None };
    put_aside(&mut entry, &snapshot(&[(Field::Name, "Cy")], "1"), &told);
    assert_eq!(sync(&mut entry).pending(), [(Field::Stamp, 2)].into());
    let bare = snapshot(&[(Field::Name, "Di")], "");
    let taken_off = Previous { fields: vec![Field::Name], stamp: Some(2) };
    put_aside(&mut entry, &bare, &taken_off);
    assert_eq!(sync(&mut entry).pending(), [(Field::Stamp, 3)].into());
}

#[test]
fn what_a_late_write_left_where_the_stamp_was_off_is_sent_again_when_the_next_write_tells() {
    let mut entry = linked(&[(Field::Name, "Ada")]);
    edit(&mut entry, &[(Field::Name, "Bea")]);
    let none = Previous::default();
    event(&mut entry, &snapshot(&[(Field::Name, "Bea")], "2"), T + 9, &none);
    edit(&mut entry, &[(Field::Name, "Bea"), (Field::Phone, "1")]);
    // The stamp 2 was taken off, and version 1 landed again, before version 3 did.
    let pairs = [(Field::Name, "Ada"), (Field::Phone, "1")];
    let previous = Previous { fields: vec![Field::Phone], stamp: Some(1) };
    event(&mut entry, &snapshot(&pairs, "3"), T + 20, &previous);
    assert_eq!(entry.customer.fields.get(&Field::Name), Some(&Value::Text("Bea".into())));
    assert_eq!(sync(&mut entry).pending(), [(Field::Name, 4), (Field::Stamp, 4)].into());
}

#[test]
fn of_two_doubts_settled_at_once_the_answer_contains_what_had_landed_by_the_later() {
    let mut entry = linked(&[(Field::Name, "Ada")]);
    edit(&mut entry, &[(Field::Name, "Bea")]);
    let told = Previous { fields: vec![Field::Name], stamp: None };
    let early = snapshot(&[(Field::Name, "Cy")], "1");
    let one = event(&mut entry, &early, T, &told).doubt.expect("of the same second");
    let bare = snapshot(&[(Field::Name, "Di")], "");
    let taken_off = Previous { fields: vec![Field::Name], stamp: Some(2) };
    let two = event(&mut entry, &bare, T + 9, &taken_off).doubt.expect("without a stamp");
    let took = read(&mut entry, &bare, T + 9, &one.and(two));
    assert_eq!(took.announce, Some((STRIPE.to_owned(), vec![Field::Name])), "Di came after Bea");
}

#[test]
fn a_customer_deleted_here_is_in_doubt_no_more() {
    let mut entry = linked(&[(Field::Name, "Ada")]);
    let told = Previous { fields: vec![Field::Name], stamp: None };
    put_aside(&mut entry, &snapshot(&[(Field::Name, "Cy")], "1"), &told);
    write::delete(&mut entry, Deletes::Mirror, NOW);
    assert_eq!((sync(&mut entry).doubt, sync(&mut entry).put_aside.len()), (None, 0));
}

#[test]
fn an_edit_put_aside_of_a_customer_that_is_deleted_there_and_kept_here_is_a_conflict() {
    let mut entry = linked(&[(Field::Name, "Ada")]);
    let told = Previous { fields: vec![Field::Name], stamp: None };
    put_aside(&mut entry, &snapshot(&[(Field::Name, "Cy")], "1"), &told);
    edit(&mut entry, &[(Field::Name, "Bea")]);
    let gone = Snapshot { deleted: true, ..snapshot(&[], "") };
    let seen = Seen::Event { created: T + 9, previous: &Previous::default() };
    let keep = Policy { deletes: Deletes::Keep, ..Policy::default() };
    let took = inbound::on_snapshot(&mut entry, STRIPE, &gone, &seen, &keep, NOW);
    assert_eq!(took.conflicts.len(), 1, "{took:?}");
    assert_eq!(took.conflicts[0].theirs, Some(Value::Text("Cy".into())));
}

#[test]
fn what_was_put_aside_tells_nothing_of_a_snapshot_from_before() {
    let mut entry = linked(&[(Field::Name, "Ada"), (Field::Phone, "bad")]);
    let told = Previous { fields: vec![Field::Phone], stamp: None };
    let other = Previous { fields: vec![Field::Name], stamp: None };
    // Another name first, so that the phone number taken away again looks different at all.
    put_aside(&mut entry, &snapshot(&[(Field::Name, "Cy")], "1"), &other);
    put_aside(&mut entry, &snapshot(&[(Field::Name, "Cy")], "1"), &told);
    let took = event(&mut entry, &snapshot(&[(Field::Name, "Ada")], "1"), T, &Previous::default());
    assert_eq!(took.announce, None);
    assert!(sync(&mut entry).refused.contains_key(&Field::Phone));
}
