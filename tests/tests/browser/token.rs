//! A catalog that asks for a token.

use tests::harness::process::command;
use tests::harness::{Browser, Program};

use crate::button;

#[test]
fn a_token_is_asked_for_and_kept_for_the_tab_only() {
    let Some(browser) = Browser::start("a_token_is_asked_for_and_kept_for_the_tab_only") else {
        return;
    };
    let dir = tempfile::tempdir().expect("a directory");
    let mut api = command("catalog-api");
    api.current_dir(dir.path()).args(["--listen", "127.0.0.1:0", "--to", "-"]);
    api.envs([("CATALOG_API_TOKEN", "all"), ("CATALOG_API_READ_TOKEN", "read")]);
    let api = Program::start(api);
    let url = format!("http://{}", api.address());
    browser.go(&url);
    browser.fill("#token", "wrong");
    browser.click(&button("Use it"));
    browser.shows("dialog", "not valid");
    browser.fill("#token", "read");
    browser.click(&button("Use it"));
    browser.shows("#live", "Live");
    browser.click("#new");
    browser.fill("#field-name", "Ada");
    browser.click(&button("Create"));
    browser.shows("#form-wrong", "may only read");
    browser.click(&button("Cancel"));

    browser.click("#sign-out");
    browser.fill("#token", "all");
    browser.click(&button("Use it"));
    browser.shows("#live", "Live");
    browser.click("#new");
    browser.fill("#field-name", "Ada");
    browser.click(&button("Create"));
    browser.shows("#detail h2", "Ada");
    assert_eq!(browser.script("return [localStorage.length, document.cookie].join()"), "0,");
    assert_eq!(browser.script("return sessionStorage.getItem('token')"), "all");
    let refused = browser.complaints();
    let expected = |it: &String| it.contains("401") || it.contains("403");
    assert!(refused.iter().all(expected), "{refused:?}");

    // The description's own calls show it too.
    let list = "#operations-customers-listCustomers";
    browser.go(&format!("{url}/docs"));
    browser.click(&format!("{list} .opblock-summary-control"));
    browser.click(&format!("{list} .try-out__btn"));
    browser.click(&format!("{list} .execute"));
    browser.shows(&format!("{list} .live-responses-table tbody .response-col_status"), "200");
    assert_eq!(browser.complaints(), [""; 0]);
}
