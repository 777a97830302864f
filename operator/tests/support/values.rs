//! The chart's values as documented in values.yaml: `# --` comments above keys.

use serde_json::Value;

/// One documented value.
#[derive(Debug)]
pub struct Documented {
    /// Its path, as in `image.tag`.
    pub path: String,
    /// Its documentation.
    pub text: String,
    /// Its value.
    pub default: Value,
}

/// The documented values, in the file's order.
pub fn documented(text: &str) -> Vec<Documented> {
    let values: Value = serde_saphyr::from_str(text).unwrap();
    let mut found = Vec::new();
    let mut path: Vec<(usize, String)> = Vec::new();
    let mut comment: Option<String> = None;
    for line in text.lines() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        if let Some(text) = trimmed.strip_prefix("# -- ") {
            comment = Some(text.to_owned());
        } else if let Some(text) = trimmed.strip_prefix("# ") {
            if let Some(comment) = &mut comment {
                comment.push(' ');
                comment.push_str(text);
            }
        } else if let Some((key, _)) = trimmed.split_once(':') {
            path.retain(|(outer, _)| *outer < indent);
            path.push((indent, key.to_owned()));
            if let Some(text) = comment.take() {
                let keys: Vec<&str> = path.iter().map(|(_, key)| key.as_str()).collect();
                let default = keys.iter().fold(&values, |value, key| &value[*key]).clone();
                found.push(Documented {
                    path: keys.join("."),
                    text,
                    default,
                });
            }
        }
    }
    found
}

/// The paths of all values that aren't maps, or are empty ones.
pub fn leaves(values: &Value) -> Vec<String> {
    fn walk(path: &str, value: &Value, found: &mut Vec<String>) {
        match value.as_object() {
            Some(object) if !object.is_empty() => {
                for (name, inner) in object {
                    let path = if path.is_empty() {
                        name.clone()
                    } else {
                        format!("{path}.{name}")
                    };
                    walk(&path, inner, found);
                }
            }
            _ => found.push(path.to_owned()),
        }
    }
    let mut found = Vec::new();
    walk("", values, &mut found);
    found
}

/// The chart's README, with the table of values in place of its mark.
pub fn readme(template: &str, values: &str) -> String {
    let mut table = String::from("| value | default | what |\n|---|---|---|\n");
    for value in documented(values) {
        let default = match &value.default {
            Value::String(text) if text.is_empty() => "`\"\"`".to_owned(),
            Value::String(text) => format!("`{text}`"),
            other => format!("`{other}`"),
        };
        table.push_str(&format!(
            "| `{}` | {default} | {} |\n",
            value.path,
            value.text.replace('|', "\\|")
        ));
    }
    template.replace("<!-- values -->\n", &table)
}
