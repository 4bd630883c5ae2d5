//! The page of documentation in a real browser: from a live server, and as a file.
//!
//! It runs where chromedriver is (on Debian: `chromium chromium-driver`), and says so where it is not;
//! `TRAITWIRE_BROWSER=required` makes that a failure.
#![allow(clippy::unwrap_used)]

#[path = "page/browser.rs"]
mod browser;
mod common;

use std::process::Command;
use std::sync::Arc;

use browser::Browser;
use common::process::ServerProcess;
use serde_json::{Value, json};

/// Keys as WebDriver writes them.
const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";

/// Which methods and types the page shows.
const SHOWN: &str = "return [...document.querySelectorAll('article')].filter((article) => article.checkVisibility()).map(({ id }) => id)";

/// Runs `steps` with a browser, if there is one, and ends it whatever comes of them.
async fn with_browser<F: Future<Output = ()> + Send + 'static>(steps: impl FnOnce(Arc<Browser>) -> F) {
    let Some(browser) = Browser::start().await else { return };
    let browser = Arc::new(browser);
    let ended = tokio::spawn(steps(Arc::clone(&browser))).await;
    browser.quit().await;
    if let Err(error) = ended {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// Searches by keys alone, and gives the ids of what is left.
async fn search(browser: &Browser, text: &str) -> Value {
    browser.press(&format!("{ESCAPE}/")).await;
    browser.until("document.activeElement.id === 'search'").await;
    browser.press(text).await;
    browser.until("!document.querySelector('#found').hidden").await;
    browser.run(SHOWN).await
}

/// Sends these arguments with the form of a method, and waits until all that is expected is shown.
async fn call(browser: &Browser, method: &str, arguments: &str, expected: &[&str]) {
    let article = format!("#method-{method}");
    // What an earlier call has shown is not to be taken for the answer.
    let clear = format!(
        "for (const part of document.querySelector('{article} .answer').children) part.textContent = ''"
    );
    browser.run(&clear).await;
    browser.fill(&format!("{article} textarea"), arguments).await;
    browser.click(&format!("{article} button[type=submit]")).await;
    for text in expected {
        let answer = format!("document.querySelector('{article} .answer').textContent");
        browser.until(&format!("{answer}.includes({})", json!(text))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_page_is_searched_followed_and_calls_its_server() {
    with_browser(live).await;
}

async fn live(browser: Arc<Browser>) {
    let server = ServerProcess::start(["--memory"]).await;
    browser.open(&format!("{}/_schema/docs", server.url())).await;
    assert_eq!(browser.run("return document.title").await, "Kv API");

    // The first key leads past the contents, and all fields have names.
    browser.press(TAB).await;
    browser.until("document.activeElement.className === 'skip'").await;
    let unnamed = "return [...document.querySelectorAll('input, textarea')].filter((field) => !field.labels.length).length";
    assert_eq!(browser.run(unnamed).await, 0);

    let all = browser.run(SHOWN).await;
    assert_eq!(
        search(&browser, "put").await,
        json!(["method-put", "type-KVError", "type-PutArgs", "type-PutReply"])
    );
    assert_eq!(search(&browser, "no such thing").await, json!([]));
    assert_eq!(search(&browser, "writes key").await, json!(["method-put"]));
    browser.press(ENTER).await;
    browser.until("location.hash === '#method-put'").await;

    // A link may lead to what the search hides.
    browser.click("#method-put a[href='#type-PutReply']").await;
    browser.until("document.querySelector(':target').id === 'type-PutReply'").await;
    let is_in_sight = "(() => { const { top, bottom } = document.querySelector(':target').getBoundingClientRect(); \
                       return top >= 0 && top < innerHeight && bottom > 0; })()";
    browser.until(is_in_sight).await;
    assert_eq!(browser.run(SHOWN).await, all);

    colours_change(&browser).await;
    assert_eq!(browser.console().await, Vec::<String>::new());
    calls(&browser, server.url()).await;
}

async fn colours_change(browser: &Browser) {
    let ground = "return getComputedStyle(document.body).backgroundColor";
    let light = browser.run(ground).await;
    browser.click("#theme").await;
    let dark = browser.run(ground).await;
    assert_ne!(light, dark);
    browser.click("#theme").await;
    assert_eq!(browser.run(ground).await, light);
}

async fn calls(browser: &Browser, url: &str) {
    let curl = browser.run("return document.querySelector('#method-get .shell').textContent").await;
    assert!(curl.as_str().unwrap().contains(url), "{curl}");
    for method in ["put", "get"] {
        browser.click(&format!("#method-{method} .try button")).await;
    }
    let text = "</pre><script>throw 1</script>";
    let put = json!({ "key": "k", "value": text, "version": 0 }).to_string();
    call(browser, "put", &put, &["200 OK", "\"version\": 1", "\"err\": null"]).await;
    call(browser, "get", r#"{"key":"k"}"#, &["200 OK", text]).await;
    browser.until("/\\d ms/.test(document.querySelector('#method-get .state').textContent)").await;
    // No number of the browser holds these digits; they are sent as they are written.
    let put = r#"{"key":"k","value":"w","version":18446744073709551615}"#;
    call(browser, "put", put, &["Refused: \"Version\"", "200 OK", "\"err\": \"Version\""]).await;
    let kind = "return document.querySelector('#method-put .state span').className";
    assert_eq!(browser.run(kind).await, "refused");
    assert_eq!(browser.console().await, Vec::<String>::new());

    call(browser, "put", "{", &["The arguments are not valid JSON"]).await;
    browser.until("document.querySelector('#method-put textarea').matches('[aria-invalid=true]')").await;
    assert_eq!(browser.console().await, Vec::<String>::new());
    let put = r#"{"key":"k","value":"v","version":-1}"#;
    call(browser, "put", put, &["400 Bad Request", "`version` does not fit"]).await;
    // The browser itself notes every answer that is an error, and nothing else has gone wrong.
    for line in browser.console().await {
        assert!(line.contains("/put - Failed to load resource") && line.contains("400"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exported_page_works_without_a_server() {
    with_browser(offline).await;
}

async fn offline(browser: Arc<Browser>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    let export = Command::new(env!("CARGO_BIN_EXE_traitwire"))
        .args(["schema", "export", "--html"])
        .arg(&file)
        .status();
    assert!(export.unwrap().success());
    browser.open(&format!("file://{}", file.display())).await;
    assert_eq!(search(&browser, "append").await[0], "method-raft.append_entries");
    browser.click("article[id='method-raft.append_entries'] a[href='#type-Sender']").await;
    browser.until("document.querySelector(':target').checkVisibility()").await;
    // Nobody is there to be called.
    let forms = "return document.querySelectorAll('.try:not([hidden]), form').length";
    assert_eq!(browser.run(forms).await, 0);
    colours_change(&browser).await;
    assert_eq!(browser.console().await, Vec::<String>::new());
}
