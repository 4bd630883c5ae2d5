//! What a put and a get answer when nothing goes wrong, and what nonsense gets.

use serde_json::{Value, json};
use traitwire::{KVError, KvClient};

use crate::Setting;
use crate::common::network::NetworkConfig;

/// K1, K3: put, get, stale put, absent key; an empty value is a value.
#[tokio::test]
async fn each_call_has_one_right_answer() {
    let setting = Setting::start(NetworkConfig::reliable()).await;
    let kv = setting.client();
    assert_eq!(kv.get("k").await, Err(KVError::NoKey));
    assert_eq!(kv.put("k", "early", 1).await, Err(KVError::NoKey));
    assert_eq!(kv.put("k", "first", 0).await, Ok(()));
    assert_eq!(kv.get("k").await, Ok(("first".to_owned(), 1)));
    assert_eq!(kv.put("k", "again", 0).await, Err(KVError::Version));
    assert_eq!(kv.put("k", "ahead", 2).await, Err(KVError::Version));
    assert_eq!(kv.put("k", "", 1).await, Ok(()));
    assert_eq!(kv.get("k").await, Ok((String::new(), 2)));
    assert_eq!(kv.put("k", "stale", 1).await, Err(KVError::Version));
    assert_eq!(kv.put("k", "third", 2).await, Ok(()));
    assert_eq!(kv.get("k").await, Ok(("third".to_owned(), 3)));
    assert_eq!(kv.get("other").await, Err(KVError::NoKey));
    setting.recorder.check();
}

/// K2, K6: versions count puts, for each of many keys by itself.
#[tokio::test]
async fn versions_count_the_puts_of_a_key() {
    let setting = Setting::start(NetworkConfig::reliable()).await;
    let kv = setting.client();
    for version in 0..50 {
        assert_eq!(kv.put("chain", &version.to_string(), version).await, Ok(()));
        assert_eq!(kv.get("chain").await, Ok((version.to_string(), version + 1)));
    }
    let keys: Vec<String> = (0..100).map(|key| format!("key {key} ✓ \"\n")).collect();
    for key in &keys {
        assert_eq!(kv.put(key, key, 0).await, Ok(()));
    }
    for key in &keys {
        assert_eq!(kv.get(key).await, Ok((key.clone(), 1)));
    }
    setting.recorder.check();
}

/// K4: of two clients that read the same version one wins; the other reads again and wins then.
#[tokio::test]
async fn of_two_clients_one_has_to_read_again() {
    let setting = Setting::start(NetworkConfig::reliable()).await;
    let (a, b) = (setting.client(), setting.client());
    assert_eq!(a.put("k", "start", 0).await, Ok(()));
    let (_, version) = b.get("k").await.unwrap();
    assert_eq!(a.put("k", "a", version).await, Ok(()));
    assert_eq!(b.put("k", "b", version).await, Err(KVError::Version));
    let (value, version) = b.get("k").await.unwrap();
    assert_eq!((value.as_str(), version), ("a", 2));
    assert_eq!(b.put("k", "b", version).await, Ok(()));
    assert_eq!(a.get("k").await, Ok(("b".to_owned(), 3)));
    setting.recorder.check();
}

/// K7: an unknown method, malformed JSON, wrong types and impossible keys get an error that says what is wrong and that
/// nothing was done; the server lives on.
#[tokio::test]
async fn nonsense_gets_an_error_and_harms_nobody() {
    let setting = Setting::start(NetworkConfig::reliable()).await;
    let kv = setting.client();
    assert_eq!(kv.put("k", "safe", 0).await, Ok(()));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let long_key = json!({ "key": "x".repeat(70_000), "value": "", "version": 0 }).to_string();
    let cases = [
        ("putt", r#"{"key":"k","value":"v","version":1}"#, 501, "unimplemented", "put"),
        ("put", r#"{"key":"k","value":"v","version":"#, 400, "invalid_argument", ""),
        ("put", "not JSON \u{0}", 400, "invalid_argument", ""),
        ("put", "", 400, "invalid_argument", ""),
        ("put", "[]", 400, "invalid_argument", ""),
        ("put", r#"{"key":"k","value":"v"}"#, 400, "invalid_argument", "version"),
        ("put", r#"{"key":7,"value":"v","version":1}"#, 400, "invalid_argument", "key"),
        ("put", r#"{"key":"k","value":null,"version":1}"#, 400, "invalid_argument", "value"),
        ("put", r#"{"key":"k","value":"v","version":-1}"#, 400, "invalid_argument", "version"),
        ("put", r#"{"key":"k","value":"v","version":1.5}"#, 400, "invalid_argument", "version"),
        (
            "put",
            r#"{"key":"k","value":"v","version":18446744073709551616}"#,
            400,
            "invalid_argument",
            "version",
        ),
        ("put", r#"{"key":"","value":"v","version":0}"#, 400, "invalid_argument", "key"),
        ("put", &long_key, 400, "invalid_argument", "key"),
    ];
    for (method, body, status, code, names) in cases {
        let case = &body[..body.len().min(60)];
        let request = http.post(format!("{}/{method}", setting.server.url())).body(body.to_owned());
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{case}");
        let error: Value = response.json().await.unwrap();
        assert_eq!(error["code"], code, "{case}: {error}");
        assert!(error["message"].as_str().unwrap().contains(names), "{case} does not name {names}: {error}");
        assert_eq!(error["details"][0]["executed"], "no", "{case}: {error}");
    }
    assert_eq!(kv.get("k").await, Ok(("safe".to_owned(), 1)));
    assert_eq!(kv.put("k", "still", 1).await, Ok(()));
    setting.recorder.check();
}
