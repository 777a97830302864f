//! The words of a statement that could name something.

use std::collections::HashSet;

use super::lexer::{self, Token, TokenKind};
use super::literal;

/// Every word: identifiers, and the identifier-like words inside of strings, as they stand and folded.
pub(super) fn of(text: &[u8], tokens: &[Token]) -> HashSet<String> {
    let mut words = HashSet::new();
    for token in tokens {
        let bytes = text.get(token.span()).unwrap_or_default();
        match token.kind {
            TokenKind::Word => both(&mut words, bytes),
            TokenKind::Quoted | TokenKind::UnicodeQuoted => {
                both(&mut words, literal::name(bytes, token.kind).as_bytes())
            }
            TokenKind::Unterminated => inside(&mut words, bytes),
            _ if token.is_string() => inside(&mut words, &literal::string_value(bytes, token.kind)),
            _ => {}
        }
    }
    words
}

/// The words inside of a text that may be SQL: runs of identifier characters, and what stands between double quotes.
fn inside(words: &mut HashSet<String>, text: &[u8]) {
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let start = at;
        at += 1;
        if lexer::is_identifier_start(byte) {
            while text
                .get(at)
                .is_some_and(|&byte| lexer::is_identifier_part(byte))
            {
                at += 1;
            }
            both(words, text.get(start..at).unwrap_or_default());
        } else if byte.is_ascii_digit() {
            while text.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
        }
    }
    let mut parts = text.split(|&byte| byte == b'"').skip(1);
    for part in parts.by_ref() {
        if part.len() <= 126 && part.iter().any(|&byte| !lexer::is_identifier_part(byte)) {
            both(words, part);
        }
    }
}

fn both(words: &mut HashSet<String>, word: &[u8]) {
    let word = String::from_utf8_lossy(literal::truncate(word));
    if word.bytes().any(|byte| byte.is_ascii_uppercase()) {
        let folded = word.to_ascii_lowercase();
        if !words.contains(&folded) {
            words.insert(folded);
        }
    }
    if !words.contains(&*word) {
        words.insert(word.into_owned());
    }
}

/// The highest `$n`; `u16::MAX` for anything beyond, which PostgreSQL refuses.
pub(crate) fn highest_parameter(text: &[u8], tokens: &[Token]) -> u16 {
    let numbers = tokens
        .iter()
        .filter(|token| token.kind == TokenKind::Parameter)
        .map(|token| {
            let digits = text
                .get(token.start as usize + 1..token.end as usize)
                .and_then(|digits| std::str::from_utf8(digits).ok());
            digits
                .and_then(|digits| digits.parse().ok())
                .unwrap_or(u16::MAX)
        });
    numbers.max().unwrap_or(0)
}
