//! What the API server admits and what it refuses: the specs in `specs/`, against the definition that we print.
//!
//! Every file is an object; a file of two documents is an object and a change of it. The first line of a bad one says what the refusal
//! of its last document must contain. The suite on a real API server applies the same files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::Path;

use previewpg_operator::api::PreviewDatabase;
use serde_json::Value;

use support::admission::{definition, refusals};
use support::{documents, yaml_files};

fn specs(kind: &str) -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/specs")
        .join(kind);
    let files: Vec<_> = yaml_files(&directory)
        .into_iter()
        .map(|file| {
            (
                file.file_stem().unwrap().to_string_lossy().into_owned(),
                std::fs::read_to_string(&file).unwrap(),
            )
        })
        .collect();
    assert!(
        files.len() > 5,
        "only {} in {}",
        files.len(),
        directory.display()
    );
    files
}

#[test]
fn good_specs_are_admitted() {
    let definition = definition();
    for (name, text) in specs("good") {
        let mut old = None;
        for object in documents(&text) {
            let found = refusals(&definition, old.as_ref(), &object);
            assert!(found.is_empty(), "{name}: {found:#?}");
            old = Some(object);
        }
    }
}

#[test]
fn bad_specs_are_refused_with_the_expected_message() {
    let definition = definition();
    for (name, text) in specs("bad") {
        let expected = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# expect: "))
            .unwrap_or_else(|| panic!("{name}: no expected message"));
        let mut objects = documents(&text);
        let last = objects.pop().unwrap();
        let old = objects.pop();
        if let Some(old) = &old {
            let found = refusals(&definition, None, old);
            assert!(found.is_empty(), "{name}, before the change: {found:#?}");
        }
        let found = refusals(&definition, old.as_ref(), &last);
        assert!(
            found.iter().any(|problem| problem.contains(expected)),
            "{name}: expected {expected:?}, found {found:#?}"
        );
        assert_eq!(
            found.len(),
            1,
            "{name} is bad in more than one way: {found:#?}"
        );
    }
}

/// Every rule of the definition refuses one of the bad specs.
#[test]
fn every_rule_is_shown_at_work() {
    fn rules(schema: &Value, found: &mut Vec<String>) {
        match schema {
            Value::Object(object) => {
                for rule in object
                    .get("x-kubernetes-validations")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                {
                    found.push(rule["message"].as_str().unwrap().to_owned());
                }
                object.values().for_each(|inner| rules(inner, found));
            }
            Value::Array(items) => items.iter().for_each(|inner| rules(inner, found)),
            _ => {}
        }
    }
    let mut messages = Vec::new();
    rules(&definition(), &mut messages);
    assert!(messages.len() > 10);
    let bad = specs("bad");
    for message in messages {
        assert!(
            bad.iter().any(|(_, text)| {
                let expected = text
                    .lines()
                    .next()
                    .unwrap()
                    .trim_start_matches("# expect: ");
                message.contains(expected)
            }),
            "no bad spec is refused with: {message}"
        );
    }
}

/// The Rust types keep everything that the schema admits.
#[test]
fn nothing_is_lost_on_reading() {
    fn kept(path: &str, written: &Value, read: &Value) {
        match (written, read) {
            (Value::Object(written), Value::Object(read)) => {
                for (name, value) in written {
                    kept(
                        &format!("{path}.{name}"),
                        value,
                        read.get(name).unwrap_or(&Value::Null),
                    );
                }
            }
            (Value::Array(written), Value::Array(read)) => {
                assert_eq!(written.len(), read.len(), "{path}");
                for (written, read) in written.iter().zip(read) {
                    kept(&format!("{path}[]"), written, read);
                }
            }
            // A quantity.
            (Value::Number(number), Value::String(text)) => {
                assert_eq!(&number.to_string(), text, "{path}");
            }
            _ => assert_eq!(written, read, "{path}"),
        }
    }
    for (name, text) in specs("good") {
        for object in documents(&text) {
            let read: PreviewDatabase = serde_json::from_value(object.clone())
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            kept(&name, &object, &serde_json::to_value(read).unwrap());
        }
    }
}
