//! The part of the API server's structural validation that our schema uses, with its words, so that one file of bad specs serves for
//! this and for a real API server.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::{Map, Value};

/// What the API server would find wrong with a value, unknown fields included. `at` is the value's path, as in `spec.proxy`.
pub fn problems(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, value, at, &mut found);
    found
}

/// Adds the schema's defaults, as the API server does before it validates.
pub fn apply_defaults(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (name, property) in properties(schema) {
                if let Some(default) = property.get("default")
                    && !object.contains_key(name)
                {
                    object.insert(name.clone(), default.clone());
                }
                if let Some(inner) = object.get_mut(name) {
                    apply_defaults(property, inner);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                items
                    .iter_mut()
                    .for_each(|item| apply_defaults(schema, item));
            }
        }
        _ => {}
    }
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
}

fn check(schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let wanted = schema.get("type").and_then(Value::as_str);
    let int_or_string = schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true));
    let fits = match value {
        Value::Null => false,
        Value::Bool(_) => wanted == Some("boolean"),
        Value::Number(number) => {
            wanted == Some("number")
                || (wanted == Some("integer") || int_or_string)
                    && (number.is_i64() || number.is_u64())
        }
        Value::String(_) => wanted == Some("string") || int_or_string,
        Value::Array(_) => wanted == Some("array"),
        Value::Object(_) => wanted == Some("object"),
    };
    if !fits {
        let is = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        found.push(format!(
            "{at}: Invalid value: {at} in body must be of type {}: \"{is}\"",
            wanted.unwrap_or("integer or string")
        ));
        return;
    }
    match value {
        Value::String(text) => string(schema, text, at, found),
        Value::Number(number) => bounds(schema, number, at, found),
        Value::Array(items) => array(schema, items, at, found),
        Value::Object(object) => fields(schema, object, at, found),
        Value::Null | Value::Bool(_) => {}
    }
}

fn string(schema: &Value, text: &str, at: &str, found: &mut Vec<String>) {
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
        && !Regex::new(pattern).unwrap().is_match(text)
    {
        found.push(format!(
            "{at}: Invalid value: \"{text}\": {at} in body should match '{pattern}'"
        ));
    }
    let length = text.chars().count() as u64;
    if schema
        .get("maxLength")
        .and_then(Value::as_u64)
        .is_some_and(|most| length > most)
    {
        found.push(format!("{at}: Too long"));
    }
    if schema
        .get("minLength")
        .and_then(Value::as_u64)
        .is_some_and(|least| length < least)
    {
        found.push(format!("{at} in body should be at least"));
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array)
        && !values.iter().any(|value| value == text)
    {
        let supported: Vec<String> = values.iter().map(ToString::to_string).collect();
        found.push(format!(
            "{at}: Unsupported value: \"{text}\": supported values: {}",
            supported.join(", ")
        ));
    }
    if schema.get("format").and_then(Value::as_str) == Some("date-time")
        && text.parse::<k8s_openapi::jiff::Timestamp>().is_err()
    {
        found.push(format!(
            "{at}: Invalid value: \"{text}\": {at} in body must be of type date-time: \"{text}\""
        ));
    }
}

fn bounds(schema: &Value, number: &serde_json::Number, at: &str, found: &mut Vec<String>) {
    let value = number.as_i64().unwrap();
    if let Some(most) = schema.get("maximum").and_then(Value::as_i64)
        && value > most
    {
        found.push(format!(
            "{at} in body should be less than or equal to {most}"
        ));
    }
    if let Some(least) = schema.get("minimum").and_then(Value::as_i64)
        && value < least
    {
        found.push(format!(
            "{at} in body should be greater than or equal to {least}"
        ));
    }
}

fn array(schema: &Value, items: &[Value], at: &str, found: &mut Vec<String>) {
    if schema
        .get("maxItems")
        .and_then(Value::as_u64)
        .is_some_and(|most| items.len() as u64 > most)
    {
        found.push(format!("{at}: Too many"));
    }
    let is_set = schema.get("x-kubernetes-list-type").and_then(Value::as_str) == Some("set");
    let mut seen = BTreeSet::new();
    for (number, item) in items.iter().enumerate() {
        let at = format!("{at}[{number}]");
        if is_set && !seen.insert(item.to_string()) {
            found.push(format!("{at}: Duplicate value: {item}"));
        }
        check(&schema["items"], item, &at, found);
    }
}

fn fields(schema: &Value, object: &Map<String, Value>, at: &str, found: &mut Vec<String>) {
    for required in schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let name = required.as_str().unwrap();
        if !object.contains_key(name) {
            found.push(format!("{at}.{name}: Required value"));
        }
    }
    for (name, value) in object {
        let at = format!("{at}.{name}");
        if let Some(schema) = schema
            .get("properties")
            .and_then(|properties| properties.get(name))
        {
            check(schema, value, &at, found);
        } else if let Some(schema) = schema.get("additionalProperties") {
            check(schema, value, &at, found);
        } else {
            found.push(format!("strict decoding error: unknown field \"{at}\""));
        }
    }
}
