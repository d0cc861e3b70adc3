//! Of restored catalogs, and of stamps that were copied or taken off.

use super::*;

/// Ada, linked, with the result of her creation taken.
fn linked() -> Entry {
    let mut entry = ada();
    let created = result(1, Outcome::Created, Some("cus_1"));
    results::on_result(&mut entry, &created, Deletes::Mirror, NOW);
    entry
}

#[test]
fn the_result_of_an_edit_that_a_restored_catalog_forgot_does_not_end_a_deletion() {
    let mut entry = linked();
    write::delete(&mut entry, Deletes::Mirror, NOW);
    for forgotten in [2, 5] {
        let updated = result(forgotten, Outcome::Updated, Some("cus_1"));
        results::on_result(&mut entry, &updated, Deletes::Mirror, NOW);
        assert_eq!(sync(&mut entry).pending_delete(), Some(2));
    }
    let deleted = result(2, Outcome::Deleted, Some("cus_1"));
    results::on_result(&mut entry, &deleted, Deletes::Mirror, NOW);
    assert!(!entry.wants(STRIPE));
}

#[test]
fn a_customer_with_the_link_of_another_gets_its_own_and_the_stamp_though_nothing_had_landed() {
    let pairs = [(Field::Name, "Ada")];
    let bare = Snapshot { catalog_id: None, ..snapshot(&pairs, "") };
    let none = Previous::default();
    let seen = Seen::Event { created: T, previous: &none };
    let mut entry = inbound::born(STRIPE, &[STRIPE], "cus_1".into(), &bare, &seen, NOW);
    let copied = Snapshot { catalog_id: Some("d".into()), ..bare };
    let doubt = event(&mut entry, &copied, T + 9, &none).doubt.expect("in doubt");
    read(&mut entry, &copied, T + 9, &doubt);
    assert_eq!(sync(&mut entry).pending(), [(Field::Stamp, 2)].into());
}

#[test]
fn a_stamp_found_off_is_put_back_though_one_is_on_its_way_that_may_have_landed_before() {
    let mut entry = linked();
    let bare = snapshot(&[(Field::Name, "Ada")], "");
    let previous = Previous { fields: Vec::new(), stamp: Some(1) };
    for version in [2, 3] {
        let doubt = event(&mut entry, &bare, T, &previous).doubt.expect("in doubt");
        read(&mut entry, &bare, T, &doubt);
        assert_eq!(sync(&mut entry).pending(), [(Field::Stamp, version)].into());
    }
}

#[test]
fn a_lost_customer_born_again_of_a_late_write_gets_a_stamp_above_the_one_overwritten() {
    let late = snapshot(&[(Field::Name, "Ada")], "2");
    let previous = Previous { fields: vec![Field::Name], stamp: Some(3) };
    let seen = Seen::Event { created: T, previous: &previous };
    let mut entry = inbound::born(STRIPE, &[STRIPE], "c".into(), &late, &seen, NOW);
    assert_eq!(sync(&mut entry).seen, 3);
    let version = entry.customer.version;
    assert!(version > 3);
    assert_eq!(sync(&mut entry).pending(), [(Field::Stamp, version)].into());
}

#[test]
fn a_stamp_that_a_late_write_replaced_tells_too_that_the_catalog_was_restored() {
    let mut entry = linked();
    let late = snapshot(&[(Field::Name, "Bea")], "1");
    let previous = Previous { fields: vec![Field::Name], stamp: Some(5) };
    let doubt = event(&mut entry, &late, T, &previous).doubt.expect("the stamp went back");
    read(&mut entry, &late, T, &doubt);
    let stamp = sync(&mut entry).pending()[&Field::Stamp];
    let forgotten = result(5, Outcome::Updated, Some("cus_1"));
    results::on_result(&mut entry, &forgotten, Deletes::Mirror, NOW);
    assert_eq!(sync(&mut entry).pending().get(&Field::Stamp), Some(&stamp), "still owed");
}

#[test]
fn a_stamp_taken_off_of_a_customer_that_was_lost_and_born_again_below_it_is_put_back_above_it() {
    let pairs = [(Field::Name, "Ada")];
    let none = Previous::default();
    let seen = Seen::Event { created: T, previous: &none };
    let bare = snapshot(&pairs, "");
    let mut entry = inbound::born(STRIPE, &[STRIPE], "c".into(), &bare, &seen, NOW);
    let previous = Previous { fields: Vec::new(), stamp: Some(2) };
    let doubt = event(&mut entry, &bare, T + 9, &previous).doubt.expect("in doubt");
    read(&mut entry, &bare, T + 9, &doubt);
    assert_eq!(sync(&mut entry).seen, 2);
    assert!(sync(&mut entry).pending()[&Field::Stamp] > 2);
}
