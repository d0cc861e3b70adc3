//! The form sends what was edited by hand, and nothing else.

use serde_json::json;
use tests::harness::http::ask;
use tests::harness::until;

use crate::{Town, button, row};

#[test]
fn what_a_browser_shows_in_its_own_way_is_not_sent_as_an_edit() {
    let Some(town) = Town::start("what_a_browser_shows_in_its_own_way") else { return };
    let stored = json!({"id": "ada", "name": "Ada", "description": "one\r\ntwo",
        "address": {"line1": "a\r\nb", "city": "Oslo"}, "metadata": {"note": "x\ny", "k": "v"}});
    town.synced(&stored);
    let browser = &town.browser;
    town.open();
    browser.click(&row("Ada"));
    browser.click(&button("Edit"));
    browser.fill("#field-phone", "+47 1234");
    browser.click(&button("Save"));
    browser.shows("#detail table", "+47 1234");
    let history = || ask("GET", &format!("{}/customers/ada/history", town.url), None).body;
    assert_eq!(history()[1]["changed"], json!(["phone"]));
    let now = town.catalog("ada");
    assert_eq!(
        (&now["description"], &now["metadata"]),
        (&stored["description"], &stored["metadata"])
    );

    // Emptied and removed by hand it goes all the same.
    browser.click(&button("Edit"));
    browser.fill("#field-description", "three");
    browser.click("(//button[@aria-label='Remove this key'])[1]");
    browser.click(&button("Save"));
    until("both are changed", || {
        let now = town.catalog("ada");
        let keys = now["metadata"].as_object().map_or(0, serde_json::Map::len);
        (now["description"] == "three" && keys == 1).then_some(())
    });
    town.is_clean();
}

#[test]
fn two_rows_of_one_key_are_not_saved() {
    let Some(town) = Town::start("two_rows_of_one_key_are_not_saved") else { return };
    town.synced(&json!({"id": "ada", "name": "Ada", "metadata": {"plan": "pro"}}));
    let browser = &town.browser;
    town.open();
    browser.click(&row("Ada"));
    browser.click(&button("Edit"));
    browser.click(&button("Add a key"));
    browser.keys("plan");
    browser.click(&button("Save"));
    browser.shows("#form-wrong", "Two rows of metadata have the key “plan”");
    assert_eq!(town.catalog("ada")["version"], 1);
    town.is_clean();
}
