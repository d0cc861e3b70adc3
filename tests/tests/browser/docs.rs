//! Swagger UI, from the program alone.

use tests::harness::http::ask;
use tests::harness::until;

use crate::{Town, button, row};

const CREATE: &str = "#operations-customers-createCustomer";

#[test]
fn a_customer_made_with_try_it_out_is_in_the_list() {
    let Some(town) = Town::start("a_customer_made_with_try_it_out_is_in_the_list") else { return };
    let browser = &town.browser;
    browser.go(&format!("{}/docs", town.url));
    browser.click(&format!("{CREATE} .opblock-summary-control"));
    browser.click(&format!("{CREATE} .try-out__btn"));
    let body = "{\"name\": \"Tried Out\", \"email\": \"tried@example.com\"}";
    browser.fill(&format!("{CREATE} .body-param__text"), body);
    browser.click(&format!("{CREATE} .execute"));
    browser.shows(&format!("{CREATE} .live-responses-table tbody .response-col_status"), "201");
    let listed = ask("GET", &format!("{}/customers?q=tried", town.url), None).body;
    assert_eq!(listed[0]["name"], "Tried Out", "{listed}");
    town.is_clean();

    town.open();
    browser.shows(&row("tried@example.com"), "In step");
    town.is_clean();
}

#[test]
fn every_operation_can_be_opened() {
    let Some(town) = Town::start("every_operation_can_be_opened") else { return };
    let browser = &town.browser;
    browser.go(&format!("{}/docs", town.url));
    until("all operations are shown", || {
        let count = browser.script("return document.querySelectorAll('.opblock').length");
        (count.as_u64()? > 15).then_some(())
    });
    // One after the other: all at once is more than a slow machine does in the time for a script.
    browser.script(
        "document.querySelectorAll('.opblock-summary-control')
            .forEach((it, n) => setTimeout(() => it.click(), n * 100))",
    );
    until("all are open", || {
        let closed =
            browser.script("return document.querySelectorAll('.opblock:not(.is-open)').length");
        (closed == 0).then_some(())
    });
    let text = browser.text("#docs").unwrap_or_default();
    assert!(!text.contains("Could not render") && !text.contains("Resolver error"), "{text}");
    assert!(browser.has(&button("Try it out")));
    town.is_clean();
}
