//! The page over the real programs: what people do, and what comes to them by itself.

use std::time::Duration;

use serde_json::json;
use tests::harness::until;

use crate::{Town, button, row};

#[test]
fn a_customer_is_made_found_edited_and_deleted_by_hand() {
    let Some(town) = Town::start("a_customer_is_made_found_edited_and_deleted_by_hand") else {
        return;
    };
    town.synced(&json!({"id": "other", "name": "Somebody Else"}));
    let browser = &town.browser;
    town.open();
    browser.click("#new");
    browser.fill("#field-email", "not an address");
    browser.click(&button("Create"));
    browser.shows("[id='field-email-wrong']", "local@domain");
    browser.fill("#field-email", "grace@example.com");
    browser.fill("#field-name", "Grace Hopper");
    browser.click(&button("Add a key"));
    browser.keys("plan");
    browser.fill("[aria-label='Value']", "pro");
    let refused = browser.complaints();
    assert!(refused.iter().all(|it| it.contains("422")), "{refused:?}");
    browser.click(&button("Create"));
    browser.shows("#detail h2", "Grace Hopper");
    // It turns from pending to in step while one looks on.
    browser.shows("#detail .sides", "In step");
    browser.shows("#detail .history", "Name, E-mail, plan");

    browser.fill("#q", "hopp");
    until("only she is found", || (!browser.has(&row("Somebody"))).then_some(()));
    browser.shows(&row("Grace"), "In step");
    browser.click(&button("Edit"));
    browser.fill("#field-name", "Grace B. Hopper");
    browser.fill("[id='field-address.city']", "New York");
    browser.click(&button("Save"));
    browser.shows("#detail table", "New York");
    browser.shows("#detail .history", "v2");
    let there = &town.pipes.stripe_customers()[0];
    until("Stripe has it too", || {
        (town.pipes.stripe_customers()[0]["name"] == "Grace B. Hopper").then_some(())
    });
    assert_eq!(there["email"], "grace@example.com");

    browser.click(&button("Delete"));
    browser.shows("dialog", "Nothing brings it back");
    browser.click("//dialog//button[.='Delete']");
    browser.shows("#nothing", "No customer has");
    until("it is deleted there", || (town.pipes.stripe_customers().len() == 1).then_some(()));
    // It may have been looked at once more.
    let complaints = browser.complaints();
    assert!(complaints.iter().all(|it| it.contains("404")), "{complaints:?}");
}

#[test]
fn what_people_do_at_stripe_shows_while_one_looks_on_and_the_focus_stays() {
    let Some(town) = Town::start("what_people_do_at_stripe_shows") else { return };
    let remote = town.synced(&json!({"id": "ada", "name": "Ada", "email": "ada@example.com"}));
    let browser = &town.browser;
    town.open();
    // By keyboard alone: from the search to the row, and in.
    browser.script("document.getElementById('q').focus()");
    until("the row has the focus", || {
        browser.keys("\u{e004}");
        let focused = browser.script("return document.activeElement.dataset.id ?? ''");
        (focused == "ada").then_some(())
    });
    browser.keys("\u{e007}");
    browser.shows("#detail h2", "Ada");
    browser.script("window.kept = document.querySelector('#rows a')");
    town.pipes.stripe("POST", &format!("/v1/customers/{remote}"), "name=Countess&phone=12");
    browser.shows("#detail h2", "Countess");
    browser.shows("#detail .history", "by Stripe");
    browser.shows(&row("Countess"), "In step");
    let same = "return window.kept === document.activeElement && window.kept.isConnected";
    assert_eq!(browser.script(same), true, "nothing was made anew, and nothing lost the focus");
    town.is_clean();
}

#[test]
fn what_stripe_refuses_is_told_and_a_resync_tries_again() {
    let Some(town) = Town::start("what_stripe_refuses_is_told_and_a_resync_tries_again") else {
        return;
    };
    let remote = town.synced(&json!({"id": "ada", "name": "Ada"}));
    let browser = &town.browser;
    let path = format!("/v1/customers/{remote}");
    town.pipes.fault(&json!({"method": "POST", "path": path, "count": 1, "status": 400,
        "message": "no more edits today"}));
    town.open();
    browser.click(&row("Ada"));
    browser.shows("#detail .sides", "In step");
    town.patch("ada", &json!({"name": "Ada L."}));
    browser.shows("#detail .sides", "no more edits today");
    browser.shows("[data-key='failed'] b", "1");
    browser.click("[data-key='failed']");
    browser.shows("#rows", "Failed");
    browser.click(&row("Ada"));
    browser.click(&button("Resync"));
    browser.shows("#said", "announced again");
    browser.shows("#detail .sides", "In step");
    until("Stripe has it", || (town.pipes.stripe_customers()[0]["name"] == "Ada L.").then_some(()));
    // A field alone, refused by name.
    town.pipes.fault(&json!({"method": "POST", "path": path, "count": 1,
        "refuse": {"param": "phone", "code": "parameter_invalid", "message": "not a phone"}}));
    town.patch("ada", &json!({"phone": "12"}));
    browser.shows("#detail table", "refused: not a phone");
    town.is_clean();
}

#[test]
fn the_value_that_lost_a_conflict_is_put_back_by_hand() {
    let Some(mut town) = Town::start("the_value_that_lost_a_conflict_is_put_back_by_hand") else {
        return;
    };
    let remote = town.synced(&json!({"id": "ada", "name": "Ada"}));
    town.open();
    town.browser.click(&row("Ada"));
    town.browser.shows("#detail .sides", "In step");
    // Both sides edit the same field, and neither has heard of the other's edit.
    until("stripe-tail knows where it is", || {
        town.pipes.dir.path().join("tail.json").exists().then_some(())
    });
    // What Stripe tells within 3 s of what was seen before is asked about first, and whoever is
    // asked then has our value already.
    std::thread::sleep(Duration::from_secs(5));
    town.hear_nothing();
    town.pipes.stripe("POST", &format!("/v1/customers/{remote}"), "name=Theirs");
    town.patch("ada", &json!({"name": "Ours"}));
    town.hear_from_stripe();
    let browser = &town.browser;
    browser.shows("#detail .conflicts", "Theirs");
    browser.shows("[data-key='conflicts'] b", "1");
    browser.shows("#detail .sides", "In step");
    assert_eq!(town.catalog("ada")["name"], "Ours");

    browser.click("[data-key='conflicts']");
    browser.click(&row("Ours / Theirs"));
    browser.click(&button("Put back “Theirs”"));
    browser.shows("#detail h2", "Theirs");
    browser.shows("#detail", "No open conflicts");
    until("both sides have it", || {
        let there = &town.pipes.stripe_customers()[0]["name"];
        (*there == "Theirs" && town.catalog("ada")["name"] == "Theirs").then_some(())
    });
    town.is_clean();
}
