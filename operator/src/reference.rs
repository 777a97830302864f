//! The reference of the resource as a page of documentation, from the same schema that `kubectl explain` shows.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::crd::{CrdError, schema_of};

const TOP: &str = "\
# Reference: PreviewDatabase

`previewpg.dev/v1alpha1`, namespaced; short name `pvdb`, category `previewpg`. The same texts come from `kubectl explain pvdb.spec`.

Generated from the CustomResourceDefinition by `make generate`. Fields in **bold** are required. Types of Kubernetes' own (such as affinity) are named and not laid out.

Annotations:

| annotation | what |
|---|---|
| `previewpg.dev/reset` | every new value drops the preview's changes once; `status.lastReset.token` shows the last one done |
";

/// The page, as Markdown.
///
/// # Errors
/// When the definition can't be converted, which would be a defect.
pub fn markdown() -> Result<String, CrdError> {
    let mut page = TOP.to_owned();
    for part in ["spec", "status"] {
        let schema = schema_of(part)?;
        section(&mut page, part, &schema);
    }
    Ok(page)
}

/// One object's fields as a table, and then those of the objects inside of it.
fn section(page: &mut String, path: &str, schema: &Value) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return;
    };
    let _ = write!(page, "\n## `{path}`\n\n");
    if let Some(text) = description(schema) {
        let _ = write!(page, "{text}\n\n");
    }
    page.push_str("| field | type | what |\n|---|---|---|\n");
    let mut inner = Vec::new();
    for (name, property) in properties {
        let field = if is_required(schema, name) {
            format!("**`{name}`**")
        } else {
            format!("`{name}`")
        };
        let mut text = description(property).unwrap_or_default().to_owned();
        if let Some(bounds) = bounds(property) {
            let _ = write!(text, " ({bounds})");
        }
        let _ = writeln!(
            page,
            "| {field} | {} | {} |",
            type_of(name, property),
            cell(&text)
        );
        if let Some(object) = inner_object(name, property) {
            let is_list = property.get("items").is_some();
            inner.push((
                format!("{path}.{name}{}", if is_list { "[]" } else { "" }),
                object,
            ));
        }
    }
    let rules: Vec<&str> = schema
        .get("x-kubernetes-validations")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|rule| rule.get("message").and_then(Value::as_str))
        .collect();
    if !rules.is_empty() {
        page.push_str("\nRules:\n\n");
        for rule in rules {
            let _ = writeln!(page, "- {rule}");
        }
    }
    for (path, object) in inner {
        section(page, &path, object);
    }
}

/// Kubernetes' own types, by the fields that have them.
fn upstream(name: &str) -> Option<&'static str> {
    Some(match name {
        "affinity" => {
            "[Affinity](https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#scheduling)"
        }
        "tolerations" => {
            "[][Toleration](https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#scheduling)"
        }
        "topologySpreadConstraints" => {
            "[][TopologySpreadConstraint](https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#scheduling)"
        }
        "imagePullSecrets" => {
            "[][LocalObjectReference](https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/local-object-reference/)"
        }
        "from" => {
            "[][NetworkPolicyPeer](https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/#NetworkPolicySpec)"
        }
        "conditions" => {
            "[][Condition](https://kubernetes.io/docs/reference/generated/kubernetes-api/v1.34/#condition-v1-meta)"
        }
        _ => return None,
    })
}

/// The object inside of a field that has a section of its own.
fn inner_object<'a>(name: &str, property: &'a Value) -> Option<&'a Value> {
    if upstream(name).is_some() {
        return None;
    }
    let object = property.get("items").unwrap_or(property);
    (object.get("properties").is_some() && reference_to(object).is_none()).then_some(object)
}

/// A reference to a Secret or ConfigMap, as it's written. Such objects need no section of their own.
fn reference_to(schema: &Value) -> Option<String> {
    let properties = schema.get("properties").and_then(Value::as_object)?;
    let is_choice = schema.get("required").is_none();
    let fields: Option<Vec<String>> = properties
        .iter()
        .map(|(name, property)| match name.as_str() {
            "name" | "key" => Some(name.clone()),
            "secretKeyRef" | "configMapKeyRef" | "secretRef" => Some(format!(
                "{name}: {{{}}}",
                reference_to(property)?.trim_matches(['{', '}'])
            )),
            _ => None,
        })
        .collect();
    let mut fields = fields?;
    // `name` comes first.
    fields.sort_by_key(|field| field != "name");
    Some(if is_choice {
        let choices: Vec<String> = fields.iter().map(|field| format!("{{{field}}}")).collect();
        choices.join(" or ")
    } else {
        format!("{{{}}}", fields.join(", "))
    })
}

fn type_of(name: &str, property: &Value) -> String {
    if let Some(known) = upstream(name) {
        return known.to_owned();
    }
    if let Some(reference) = reference_to(property) {
        return format!("`{reference}`");
    }
    if property.get("x-kubernetes-int-or-string").is_some() {
        return "quantity".to_owned();
    }
    if let Some(values) = property.get("enum").and_then(Value::as_array) {
        let values: Vec<String> = values
            .iter()
            .filter_map(Value::as_str)
            .map(|value| format!("`{value}`"))
            .collect();
        return values.join(", ");
    }
    if let Some(items) = property.get("items") {
        return format!("[]{}", type_of("", items));
    }
    if let Some(values) = property.get("additionalProperties") {
        return format!("map of {}", type_of("", values));
    }
    match property.get("format").and_then(Value::as_str) {
        Some("date-time") => "time".to_owned(),
        _ => property
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or("object")
            .to_owned(),
    }
}

/// The bounds that the schema sets on numbers.
fn bounds(property: &Value) -> Option<String> {
    let bound = |name: &str| property.get(name).and_then(Value::as_i64);
    match (bound("minimum"), bound("maximum")) {
        (Some(least), Some(most)) => Some(format!("{least} to {most}")),
        (Some(least), None) => Some(format!("at least {least}")),
        (None, Some(most)) => Some(format!("at most {most}")),
        (None, None) => None,
    }
}

fn is_required(schema: &Value, name: &str) -> bool {
    schema
        .get("required")
        .and_then(Value::as_array)
        .is_some_and(|required| required.iter().any(|each| each == name))
}

fn description(schema: &Value) -> Option<&str> {
    schema
        .as_object()
        .and_then(|object: &Map<String, Value>| object.get("description"))
        .and_then(Value::as_str)
}

/// Text in a table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
