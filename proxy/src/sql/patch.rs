//! Replacing spans of a text. What isn't replaced stays byte for byte as it came.
//!
//! [`Edits`] holds what to replace; [`Edits::render`] renders a text or a part of it, and [`Edits::original_position`]
//! says where a position of the rendered text (as in an error's `P` field) stands in the original. It knows no SQL.

use super::facts::Span;

/// Why an edit or a rendering isn't possible: always a defect of whoever asks for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// Two edits want the same bytes.
    #[error("the edits of bytes {first:?} and {second:?} overlap")]
    Overlap {
        /// The one that was there.
        first: Span,
        /// The one that came.
        second: Span,
    },
    /// An edit lies partly in the range that is rendered.
    #[error("the edit of bytes {edit:?} crosses the border of {range:?}")]
    Straddles {
        /// The edit.
        edit: Span,
        /// The range that was to be rendered.
        range: Span,
    },
    /// A span isn't in the text, or cuts a character.
    #[error("bytes {span:?} are no part of the text")]
    OutOfBounds {
        /// The span.
        span: Span,
    },
}

/// What to replace: spans that don't overlap, sorted, each with its new text. An empty span is an insertion;
/// several at one place stay in the order in which they came, and stand before a replacement that begins there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Edits {
    edits: Vec<Edit>,
}

/// A span and its new text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// What is replaced, in bytes of the original.
    pub span: Span,
    /// The new text.
    pub text: String,
}

impl Edits {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces `span` by `text`.
    ///
    /// # Errors
    /// [`PatchError::Overlap`], and then nothing is changed. A reversed span is [`PatchError::OutOfBounds`].
    pub fn replace(&mut self, span: Span, text: impl Into<String>) -> Result<(), PatchError> {
        if span.start > span.end {
            return Err(PatchError::OutOfBounds { span });
        }
        let key = |span: &Span| (span.start, !span.is_empty());
        let place = self
            .edits
            .partition_point(|edit| key(&edit.span) <= key(&span));
        let before = place
            .checked_sub(1)
            .and_then(|before| self.edits.get(before));
        let after = self.edits.get(place);
        // Two replacements of the same start have one key; that the first isn't empty makes them overlap.
        let clash = before
            .filter(|edit| edit.span.end > span.start)
            .or(after.filter(|edit| edit.span.start < span.end));
        if let Some(edit) = clash {
            return Err(PatchError::Overlap {
                first: edit.span.clone(),
                second: span,
            });
        }
        self.edits.insert(
            place,
            Edit {
                span,
                text: text.into(),
            },
        );
        Ok(())
    }

    /// Inserts `text` before the byte at `at`.
    ///
    /// # Errors
    /// [`PatchError::Overlap`] when `at` lies inside of a replaced span.
    pub fn insert(&mut self, at: usize, text: impl Into<String>) -> Result<(), PatchError> {
        self.replace(at..at, text)
    }

    /// Takes the edits of exactly this span back.
    pub fn remove(&mut self, span: &Span) {
        self.edits.retain(|edit| edit.span != *span);
    }

    /// Nothing is to be replaced.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// The edits, in text order.
    pub fn iter(&self) -> impl Iterator<Item = &Edit> {
        self.edits.iter()
    }

    /// The edits that lie in `range`: insertions at its borders are in it.
    fn within(&self, range: &Span) -> Result<&[Edit], PatchError> {
        let first = self.edits.partition_point(|edit| {
            edit.span.end < range.start || (edit.span.end == range.start && !edit.span.is_empty())
        });
        let rest = self.edits.get(first..).unwrap_or_default();
        let count = rest.partition_point(|edit| {
            edit.span.start < range.end || (edit.span.start == range.end && edit.span.is_empty())
        });
        let inside = rest.get(..count).unwrap_or_default();
        match inside
            .iter()
            .find(|edit| edit.span.start < range.start || edit.span.end > range.end)
        {
            Some(edit) => Err(PatchError::Straddles {
                edit: edit.span.clone(),
                range: range.clone(),
            }),
            None => Ok(inside),
        }
    }

    /// The bytes `range` of `text`, with the edits in it applied.
    ///
    /// # Errors
    /// [`PatchError::Straddles`] for an edit across the range's border; [`PatchError::OutOfBounds`] when the range or an edit isn't a part of the text.
    pub fn render(&self, text: &str, range: Span) -> Result<String, PatchError> {
        let slice = |span: Span| {
            text.get(span.clone())
                .ok_or(PatchError::OutOfBounds { span })
        };
        let edits = self.within(&range)?;
        let mut out = String::with_capacity(
            range.len() + edits.iter().map(|edit| edit.text.len()).sum::<usize>(),
        );
        let mut at = range.start;
        for edit in edits {
            out.push_str(slice(at..edit.span.start)?);
            slice(edit.span.clone())?;
            out.push_str(&edit.text);
            at = edit.span.end;
        }
        out.push_str(slice(at..range.end)?);
        Ok(out)
    }

    /// Where the 1-based character `position` of what [`Edits::render`] made of `range` stands in the whole
    /// original `text`, 1-based and in characters too. Inside of a replacement it is the replaced text's beginning.
    ///
    /// # Errors
    /// As [`Edits::render`].
    pub fn original_position(
        &self,
        text: &str,
        range: Span,
        position: usize,
    ) -> Result<usize, PatchError> {
        let slice = |span: Span| {
            text.get(span.clone())
                .ok_or(PatchError::OutOfBounds { span })
        };
        let edits = self.within(&range)?;
        let mut original = slice(0..range.start)?.chars().count();
        let mut left = position.saturating_sub(1);
        let mut at = range.start;
        for edit in edits {
            let kept = slice(at..edit.span.start)?.chars().count();
            if left < kept {
                return Ok(original + left + 1);
            }
            left -= kept;
            original += kept;
            let new = edit.text.chars().count();
            if left < new {
                return Ok(original + 1);
            }
            left -= new;
            original += slice(edit.span.clone())?.chars().count();
            at = edit.span.end;
        }
        let kept = slice(at..range.end)?.chars().count();
        Ok(original + left.min(kept) + 1)
    }
}

/// [`Edits::render`] as a function.
///
/// # Errors
/// As [`Edits::render`].
pub fn render(text: &str, range: Span, edits: &Edits) -> Result<String, PatchError> {
    edits.render(text, range)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn edits(list: &[(Span, &str)]) -> Edits {
        let mut edits = Edits::new();
        for (span, text) in list {
            edits.replace(span.clone(), *text).unwrap();
        }
        edits
    }

    #[test]
    fn replaces_and_inserts_in_text_order() {
        let edits = edits(&[
            (14..19, "(SELECT 1) AS users"),
            (7..8, "a, b"),
            (7..7, "DISTINCT "),
            (14..14, "ONLY "),
        ]);
        assert_eq!(
            edits.render("SELECT * FROM users", 0..19).unwrap(),
            "SELECT DISTINCT a, b FROM ONLY (SELECT 1) AS users"
        );
        assert_eq!(
            edits.render("SELECT * FROM users", 9..19).unwrap(),
            "FROM ONLY (SELECT 1) AS users"
        );
    }

    #[test]
    fn refuses_what_overlaps_or_straddles() {
        let mut some = edits(&[(2..5, "x")]);
        for span in [2..5, 4..6, 0..3, 3..3, 0..9] {
            assert_eq!(
                some.replace(span.clone(), "y"),
                Err(PatchError::Overlap {
                    first: 2..5,
                    second: span
                })
            );
        }
        for span in [5..6, 0..2, 2..2, 5..5] {
            some.clone().replace(span, "y").unwrap();
        }
        assert_eq!(
            some.render("0123456789", 3..9),
            Err(PatchError::Straddles {
                edit: 2..5,
                range: 3..9
            })
        );
        assert_eq!(
            some.render("0123456789", 0..4),
            Err(PatchError::Straddles {
                edit: 2..5,
                range: 0..4
            })
        );
        assert_eq!(some.render("0123456789", 5..9).unwrap(), "5678");
        assert!(some.render("0123", 0..4).is_err());
        assert!(some.render("ä", 0..1).is_err());
    }

    #[test]
    fn finds_positions_again() {
        // The client's text has a two-byte character; the replacement is longer than what it replaces.
        let text = "SELECT ä, b FROM users WHERE c";
        let edits = edits(&[(18..23, "(SELECT * FROM upper) AS users")]);
        let rendered = edits.render(text, 0..text.len()).unwrap();
        let position = rendered.chars().count();
        assert_eq!(
            edits
                .original_position(text, 0..text.len(), position)
                .unwrap(),
            text.chars().count()
        );
        assert_eq!(edits.original_position(text, 0..text.len(), 8).unwrap(), 8);
        assert_eq!(
            edits.original_position(text, 0..text.len(), 30).unwrap(),
            18
        );
        assert_eq!(
            edits.original_position(text, 13..text.len(), 1).unwrap(),
            13
        );
        assert_eq!(
            edits.original_position(text, 0..text.len(), 4000).unwrap(),
            text.chars().count() + 1
        );
    }

    proptest! {
        #[test]
        fn identity_edits_change_nothing(text in "\\PC{0,40}", cuts in proptest::collection::vec(0_usize..120, 0..12)) {
            let borders: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let mut edits = Edits::new();
            for pair in cuts.chunks_exact(2) {
                let (a, b) = (borders[pair[0] % borders.len()], borders[pair[1] % borders.len()]);
                let span = a.min(b)..a.max(b);
                let _ = edits.replace(span.clone(), &text[span]);
            }
            prop_assert_eq!(edits.render(&text, 0..text.len()).unwrap(), text.clone());
            for position in 1..=text.chars().count() {
                let original = edits.original_position(&text, 0..text.len(), position).unwrap();
                prop_assert!(original <= position);
            }
        }

        #[test]
        fn what_is_outside_stays(before in "\\PC{0,10}", old in "\\PC{0,10}", after in "\\PC{0,10}", new in "\\PC{0,10}") {
            let text = format!("{before}{old}{after}");
            let mut edits = Edits::new();
            edits.replace(before.len()..before.len() + old.len(), new.clone()).unwrap();
            prop_assert_eq!(edits.render(&text, 0..text.len()).unwrap(), format!("{before}{new}{after}"));
        }
    }
}
