//! CEL rules about optional fields deep in the spec.
//!
//! CEL's own optional chaining (`self.?a.?b.orValue(..)`) would be shorter, but makes the API server lose the sizes of its inputs: it
//! then estimates the rule to be too dear, and refuses the definition.

/// That a field's value, or its default, is what it was.
pub(super) fn unchanged(path: &str, default: &str) -> String {
    format!(
        "{} == {}",
        value("self", path, default),
        value("oldSelf", path, default)
    )
}

/// That a quantity, or its default, isn't smaller than it was.
pub(super) fn only_grows(path: &str, default: &str) -> String {
    let quantity = |of: &str| format!("quantity(string({}))", value(of, path, default));
    format!(
        "{}.compareTo({}) >= 0",
        quantity("self"),
        quantity("oldSelf")
    )
}

/// A field's value, or a default.
fn value(of: &str, path: &str, default: &str) -> String {
    let mut field = of.to_owned();
    let present: Vec<String> = path
        .split('.')
        .map(|name| {
            field.push('.');
            field.push_str(name);
            format!("has({field})")
        })
        .collect();
    format!("({} ? {field} : {default})", present.join(" && "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_of_a_path_may_be_absent() {
        assert_eq!(
            value("self", "a.b", "'c'"),
            "(has(self.a) && has(self.a.b) ? self.a.b : 'c')"
        );
    }
}
