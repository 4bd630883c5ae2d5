//! What the lock remembers, and what it takes to break a promise.

use serde_json::json;
use traitwire_schema::{Allowance, Contract, Lock, Refusal};

/// A service of these methods, each with the fields of its arguments, all required; a method that begins with `old_` is
/// deprecated.
fn contract(methods: &[(&str, &[&str])]) -> Contract {
    let methods: Vec<_> = methods
        .iter()
        .map(|(name, fields)| {
            let properties = fields.iter().map(|field| ((*field).to_owned(), json!({ "type": "string" })));
            let mut method = json!({
                "name": name,
                "idempotency": "none",
                "arguments": {
                    "type": "object",
                    "properties": serde_json::Value::Object(properties.collect()),
                    "required": fields,
                },
                "reply": { "type": "null" },
            });
            if name.starts_with("old_") {
                method["deprecated"] = json!("there is a better one");
            }
            method
        })
        .collect();
    let service = json!({ "name": "Kv", "compat": "backward", "methods": methods });
    let document = json!({ "format": 1, "fingerprint": "", "services": [service], "types": {} });
    Contract::from_json(&document).unwrap()
}

fn allow(text: &str) -> Allowance {
    Allowance { reason: "nobody calls it".to_owned(), ..text.parse().unwrap() }
}

#[test]
fn a_break_needs_its_rule_its_path_and_a_reason() {
    let mut lock = Lock::first(contract(&[("put", &["key"])]), "0.1.0");
    let breaking = contract(&[("put", &["key", "ttl"])]);
    let Err(Refusal::Breaking(findings)) = lock.bless(breaking.clone(), "0.2.0", &[]) else {
        panic!("blessed")
    };
    assert_eq!(findings.len(), 1);
    let said = Refusal::Breaking(findings).to_string();
    assert!(said.contains("--allow 'R07:put.arguments.ttl' --reason"), "{said}");

    let other = [allow("R07:put.arguments.other")];
    assert!(matches!(lock.bless(breaking.clone(), "0.2.0", &other), Err(Refusal::Breaking(_))));
    let silent = [Allowance { reason: " ".to_owned(), ..allow("R07:put.arguments.ttl") }];
    assert!(matches!(lock.bless(breaking.clone(), "0.2.0", &silent), Err(Refusal::NoReason(_))));
    let more = [allow("R07:put.arguments.ttl"), allow("R12:put.reply")];
    assert!(matches!(lock.bless(breaking.clone(), "0.2.0", &more), Err(Refusal::Unused(_))));
    assert_eq!(lock, Lock::first(contract(&[("put", &["key"])]), "0.1.0"), "what is refused changes nothing");

    lock.bless(breaking.clone(), "0.2.0", &[allow("R07:put.arguments.ttl")]).unwrap();
    assert_eq!(lock.check(&breaking), []);
    assert_eq!(lock.releases, ["0.1.0", "0.2.0"]);
    let [accepted] = lock.accepted.as_slice() else { panic!("{:?}", lock.accepted) };
    assert_eq!((accepted.path.as_str(), accepted.reason.as_str()), ("put.arguments.ttl", "nobody calls it"));
    assert_eq!(accepted.release, "0.2.0");
    let read = Lock::from_json(&serde_json::from_str(&lock.to_text()).unwrap()).unwrap();
    assert_eq!(read, lock);
}

#[test]
fn the_name_of_a_method_that_is_gone_stays_reserved() {
    let mut lock = Lock::first(contract(&[("get", &[]), ("put", &[])]), "1");
    lock.bless(contract(&[("get", &[])]), "1", &[allow("R01:put")]).unwrap();
    assert!(lock.reserved.contains("put"));
    let again = contract(&[("get", &[]), ("put", &[])]);
    let rules: Vec<String> = lock.check(&again).iter().map(|finding| finding.rule.to_string()).collect();
    assert_eq!(rules, ["R26", "R02"]);
    lock.bless(again.clone(), "2", &[allow("R26:put")]).unwrap();
    assert_eq!((lock.check(&again), lock.reserved.len()), (vec![], 0));
}

#[test]
fn releases_are_counted_from_the_deprecation_on() {
    let old = contract(&[("get", &[]), ("old_get", &[])]);
    let new = contract(&[("get", &[])]);
    let rules = |lock: &Lock| -> Vec<String> {
        lock.check(&new).iter().map(|finding| finding.rule.to_string()).collect()
    };
    let mut lock = Lock::first(contract(&[("get", &[])]), "1");
    lock.bless(old.clone(), "2", &[]).unwrap();
    assert_eq!(rules(&lock), ["R01", "R27"], "deprecated in one release");
    lock.bless(old.clone(), "2", &[]).unwrap();
    assert_eq!(rules(&lock), ["R01", "R27"], "to bless twice is no second release");
    lock.bless(old, "3", &[]).unwrap();
    assert_eq!(rules(&lock), ["R01"], "deprecated in two releases");
}

#[test]
fn what_is_no_lock_is_told_from_what_is_too_new() {
    let error = |document| Lock::from_json(&document).unwrap_err().to_string();
    assert_eq!(error(json!([])), "it is no lock: a lock is an object with a number `format`");
    assert_eq!(error(json!({ "format": 9 })), "the lock is of format 9; this program reads format 1");
    let wrong = json!({ "format": 1, "fingerprint": "", "services": [{ "name": 1 }], "types": {} });
    let error = Contract::from_json(&wrong).unwrap_err().to_string();
    assert!(error.starts_with("it is no contract: ") && error.contains("string"), "{error}");
}
