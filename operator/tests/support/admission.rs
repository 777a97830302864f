//! The API server's admission of a PreviewDatabase: defaults, structure, rules.

use kube::core::cel::Validator;
use previewpg_operator::crd;
use serde_json::Value;

use super::schema;

/// The schema of the whole object.
pub fn definition() -> Value {
    crd::definition()
        .unwrap()
        .pointer("/spec/versions/0/schema/openAPIV3Schema")
        .unwrap()
        .clone()
}

/// What is wrong with an object, or with the change of an old one into it.
pub fn refusals(definition: &Value, old: Option<&Value>, object: &Value) -> Vec<String> {
    let whole = |object: &Value| {
        let mut object = object.clone();
        schema::apply_defaults(definition, &mut object);
        object
    };
    let (old, object) = (old.map(whole), whole(object));
    let mut found = Vec::new();
    for part in ["spec", "status"] {
        if let Some(value) = object.get(part) {
            found.extend(schema::problems(
                &definition["properties"][part],
                value,
                part,
            ));
        }
    }
    // As the API server does: rules see only what has the right structure.
    if found.is_empty()
        && let Err(errors) = Validator::new().validate(definition, &object, old.as_ref())
    {
        found.extend(errors.as_slice().iter().map(ToString::to_string));
    }
    found
}
