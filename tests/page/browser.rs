//! A headless Chromium, driven through chromedriver by the WebDriver protocol (<https://www.w3.org/TR/webdriver2/>).

use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long chromedriver may take until it listens, and the browser until it has started.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the page may take until it shows what is waited for.
const WAIT: Duration = Duration::from_secs(20);
/// How often is looked.
const POLL: Duration = Duration::from_millis(20);

/// What Chromium needs to run without a screen, a sandbox or a network, and the same each time.
const ARGUMENTS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
    // Where a click goes is looked up at once: nothing may still be moving.
    "--force-prefers-reduced-motion",
];

/// How WebDriver names an element in JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window. It ends with [`Browser::quit`], and its driver when this is dropped.
pub(crate) struct Browser {
    http: Client,
    session: String,
    _driver: Child,
    _profile: TempDir,
}

impl Browser {
    /// Starts a browser. Without chromedriver there is none: that is said, and is a failure if `TRAITWIRE_BROWSER` is
    /// `required`.
    pub(crate) async fn start() -> Option<Self> {
        let driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let mut driver = match driver {
            Ok(driver) => driver,
            Err(error) => {
                let missing = format!(
                    "chromedriver cannot be started ({error}): on Debian, install `chromium chromium-driver`"
                );
                let is_required = std::env::var("TRAITWIRE_BROWSER").is_ok_and(|value| value == "required");
                assert!(!is_required, "{missing}");
                // Written past the test harness, which shows only what failed tests print.
                let mut out = std::io::stderr();
                writeln!(out, "\nNOT RUN: the page was not tried in a browser: {missing}").unwrap();
                return None;
            }
        };
        let port = tokio::time::timeout(START_TIMEOUT, port(&mut driver))
            .await
            .expect("chromedriver listens in time");
        let profile = tempfile::tempdir().unwrap();
        let http = Client::builder().no_proxy().timeout(START_TIMEOUT).build().unwrap();
        let mut browser = Self {
            http,
            session: format!("http://127.0.0.1:{port}/session"),
            _driver: driver,
            _profile: profile,
        };
        let profile = format!("--user-data-dir={}", browser._profile.path().display());
        let arguments: Vec<&str> = ARGUMENTS.into_iter().chain([profile.as_str()]).collect();
        let created = browser
            .send(
                Method::POST,
                "",
                json!({ "capabilities": { "alwaysMatch": {
                    "goog:chromeOptions": { "args": arguments },
                    "goog:loggingPrefs": { "browser": "ALL" },
                } } }),
            )
            .await;
        let id = created["sessionId"].as_str().unwrap_or_else(|| panic!("no browser has started: {created}"));
        browser.session = format!("{}/{id}", browser.session);
        Some(browser)
    }

    /// Ends the browser. Its driver ends when this is dropped.
    pub(crate) async fn quit(&self) {
        self.send(Method::DELETE, "", Value::Null).await;
    }

    /// Goes to a page and waits until it is loaded.
    pub(crate) async fn open(&self, url: &str) {
        self.send(Method::POST, "/url", json!({ "url": url })).await;
    }

    /// Runs the body of a function in the page, and gives what it returns.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.send(Method::POST, "/execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// Waits until an expression is true in the page.
    #[track_caller]
    pub(crate) fn until(&self, expression: &str) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            let begin = Instant::now();
            while self.run(&format!("return Boolean({expression})")).await != json!(true) {
                if begin.elapsed() > WAIT {
                    let shown =
                        self.run("return document.activeElement.outerHTML + document.body.innerText").await;
                    panic!("{place}: `{expression}` did not come true; the page: {shown:.2000}");
                }
                tokio::time::sleep(POLL).await;
            }
        }
    }

    /// Clicks on the first element that a CSS selector finds, as a person would: it must be there to be seen.
    pub(crate) async fn click(&self, selector: &str) {
        let element = self.find(selector).await;
        self.run(&format!(
            "document.querySelector({}).scrollIntoView({{ block: 'center' }})",
            json!(selector)
        ))
        .await;
        self.send(Method::POST, &format!("/element/{element}/click"), json!({})).await;
    }

    /// Types into the element that a CSS selector finds, in place of what stands in it.
    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        let element = self.find(selector).await;
        self.send(Method::POST, &format!("/element/{element}/clear"), json!({})).await;
        self.send(Method::POST, &format!("/element/{element}/value"), json!({ "text": text })).await;
    }

    /// Presses keys, wherever the focus is. WebDriver has letters of its own for keys such as Tab.
    pub(crate) async fn press(&self, keys: &str) {
        let key = |kind: &'static str| move |letter: char| json!({ "type": kind, "value": letter });
        let actions: Vec<Value> =
            keys.chars().flat_map(|letter| [key("keyDown")(letter), key("keyUp")(letter)]).collect();
        let body = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] });
        self.send(Method::POST, "/actions", body).await;
    }

    /// What the console has shown since the last time: level and message of each line.
    pub(crate) async fn console(&self) -> Vec<String> {
        let lines = self.send(Method::POST, "/se/log", json!({ "type": "browser" })).await;
        let line = |line: &Value| {
            format!("{} {}", line["level"].as_str().unwrap(), line["message"].as_str().unwrap())
        };
        lines.as_array().unwrap().iter().map(line).collect()
    }

    async fn find(&self, selector: &str) -> String {
        let body = json!({ "using": "css selector", "value": selector });
        let found = self.send(Method::POST, "/element", body).await;
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    /// One command of the protocol.
    async fn send(&self, method: Method, path: &str, body: Value) -> Value {
        let request = self.http.request(method, format!("{}{path}", self.session));
        let request = if body.is_null() { request } else { request.json(&body) };
        let response = request.send().await.unwrap_or_else(|error| panic!("{path} {body}: {error}"));
        let is_good = response.status().is_success();
        let mut reply: Value = response.json().await.unwrap();
        assert!(is_good, "{path} {body}: {}", reply["value"]["message"]);
        reply["value"].take()
    }
}

/// The port that chromedriver says it listens on.
async fn port(driver: &mut Child) -> u16 {
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some((_, port)) = line.split_once("started successfully on port ") {
            // What it says later must not block it.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return port.trim_end_matches('.').parse().unwrap();
        }
    }
    panic!("chromedriver has ended before it listened");
}
