//! The page's shape: on a phone, by night, for those who do not see it.

use serde_json::json;
use tests::harness::Browser;

use crate::{Town, button, row};

/// As wide as the smallest phones in use.
const PHONE: (u32, u32) = (360, 740);

fn nothing_sticks_out(browser: &Browser, what: &str) {
    let wide = "const out = [...document.querySelectorAll('body *')].filter((it) => {
            const box = it.getBoundingClientRect();
            return box.width > 1 && box.right > innerWidth + 1
                && !it.closest('.hidden, .opblock-body, .swagger-ui');
        }).map((it) => it.outerHTML.slice(0, 90));
        const page = document.documentElement;
        return page.scrollWidth > innerWidth ? ['the page', ...out] : out;";
    assert_eq!(browser.script(wide), json!([]), "{what}");
}

#[test]
fn on_a_phone_nothing_sticks_out() {
    let Some(town) = Town::start("on_a_phone_nothing_sticks_out") else { return };
    let browser = &town.browser;
    let long = "x".repeat(200);
    town.synced(
        &json!({"id": "i".repeat(100), "name": long, "email": format!("{long}@example.com"),
        "description": long, "metadata": {"a_rather_long_key_for_so_small_a_screen": long}}),
    );
    browser.look_like(PHONE.0, PHONE.1, "light");
    town.open();
    browser.shows("#rows", "In step");
    nothing_sticks_out(browser, "the list");
    browser.click("#rows a");
    browser.shows("#detail", "History");
    nothing_sticks_out(browser, "a customer");
    assert!(!browser.has("#rows"), "one thing at a time");
    browser.click(&button("Edit"));
    browser.click(&button("Add a key"));
    nothing_sticks_out(browser, "the form");
    browser.click(&button("Cancel"));
    browser.click(".back");
    browser.shows("#rows", "In step");
    browser.go(&format!("{}/docs", town.url));
    browser.shows("#docs", "List customers");
    nothing_sticks_out(browser, "the description");
    town.is_clean();
}

/// The contrast of text with what is behind it, as WCAG 2 reckons it; of all text that is shown.
const CONTRAST: &str = "
    const colour = (text) => text.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((it) => it / 255)
        .map((it) => it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4)
        .reduce((sum, it, n) => sum + it * [0.2126, 0.7152, 0.0722][n], 0);
    const behind = (it) => {
        for (; it; it = it.parentElement) {
            const [r, g, b, a = 1] = colour(getComputedStyle(it).backgroundColor);
            if (a === 1) return [r, g, b];
        }
        return [255, 255, 255];
    };
    return [...document.querySelectorAll('body *')].filter((it) =>
        it.checkVisibility() && [...it.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
        .map((it) => {
            const [a, b] = [light(colour(getComputedStyle(it).color)), light(behind(it))];
            return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), it.outerHTML.slice(0, 90)];
        }).filter(([ratio]) => ratio < 4.5);";

#[test]
fn by_day_and_by_night_all_text_can_be_read() {
    let Some(town) = Town::start("by_day_and_by_night_all_text_can_be_read") else { return };
    let browser = &town.browser;
    town.synced(&json!({"id": "ada", "name": "Ada", "metadata": {"plan": "pro"}}));
    town.open();
    browser.click(&row("Ada"));
    browser.shows("#detail .sides", "In step");
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        browser.look_like(1280, 900, scheme);
        // Colours fade for a moment.
        std::thread::sleep(std::time::Duration::from_millis(600));
        assert_eq!(browser.script(CONTRAST), json!([]), "{scheme}");
        grounds.push(browser.script("return getComputedStyle(document.body).backgroundColor"));
    }
    assert_ne!(grounds[0], grounds[1]);
}

#[test]
fn everything_that_takes_input_has_a_name_and_headings_have_an_order() {
    let Some(town) = Town::start("everything_that_takes_input_has_a_name") else { return };
    let browser = &town.browser;
    town.synced(&json!({"id": "ada", "name": "Ada"}));
    town.open();
    browser.click(&row("Ada"));
    browser.shows("#detail .history", "v1");
    browser.click(&button("Edit"));
    browser.click(&button("Add a key"));
    let nameless = "return [...document.querySelectorAll('input, textarea, button, a, dialog')]
        .filter((it) => it.checkVisibility() && !(it.labels?.length || it.ariaLabel
            || it.getAttribute('aria-labelledby') || it.textContent.trim()))
        .map((it) => it.outerHTML);";
    assert_eq!(browser.script(nameless), json!([]));
    // Escape closes the dialog, and the focus is where it was.
    browser.keys("\u{e00c}");
    assert!(!browser.has("dialog"));
    assert_eq!(browser.script("return document.activeElement.textContent"), "Edit");
    let skips = "const levels = [...document.querySelectorAll('h1, h2, h3, h4')]
            .filter((it) => it.checkVisibility()).map((it) => Number(it.tagName[1]));
        return levels.filter((level, n) => level > (levels[n - 1] ?? 0) + 1);";
    assert_eq!(browser.script(skips), json!([]));
    town.is_clean();
}
