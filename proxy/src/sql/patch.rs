//! Replacing spans of a text.

use super::facts::Span;

/// Edits.
#[derive(Debug, Clone, Default)]
pub struct Edits(Vec<(Span, String)>);
/// Error.
#[derive(Debug, thiserror::Error)]
#[error("overlap")]
pub struct PatchError;
impl Edits {
    /// x
    pub fn replace(&mut self, span: Span, with: impl Into<String>) -> Result<(), PatchError> {
        self.0.push((span, with.into()));
        Ok(())
    }
    /// x
    pub fn remove(&mut self, span: &Span) {
        self.0.retain(|(s, _)| s != span)
    }
    /// x
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
/// x
pub fn render(text: &str, range: Span, edits: &Edits) -> Result<String, PatchError> {
    let mut sorted: Vec<_> = edits
        .0
        .iter()
        .filter(|(s, _)| s.start >= range.start && s.end <= range.end)
        .collect();
    sorted.sort_by_key(|(s, _)| (s.start, s.end));
    let mut out = String::new();
    let mut at = range.start;
    for (s, w) in sorted {
        if s.start < at {
            return Err(PatchError);
        }
        out.push_str(&text[at..s.start]);
        out.push_str(w);
        at = s.end;
    }
    out.push_str(&text[at..range.end]);
    Ok(out)
}
