//! What the text of a token stands for: names folded, unquoted and truncated; strings without quotes and escapes.

use std::borrow::Cow;

use super::lexer::TokenKind;

/// The longest name in bytes (`NAMEDATALEN - 1`).
const LONGEST_NAME: usize = 63;

/// The name that an identifier token's text stands for: folded or unquoted, truncated as PostgreSQL does.
#[must_use]
pub fn name(text: &[u8], kind: TokenKind) -> String {
    let bytes: Cow<'_, [u8]> = match kind {
        TokenKind::Quoted => undouble(inner(text, 1, b'"'), b'"'),
        TokenKind::UnicodeQuoted => {
            let body = inner(text, 3, b'"');
            Cow::Owned(undo_unicode(
                &undouble(body, b'"'),
                unicode_escape_character(text),
            ))
        }
        _ if text.iter().any(u8::is_ascii_uppercase) => Cow::Owned(text.to_ascii_lowercase()),
        _ => Cow::Borrowed(text),
    };
    String::from_utf8_lossy(truncate(&bytes)).into_owned()
}

/// Cuts a name to the longest that PostgreSQL keeps, on a character boundary.
#[must_use]
pub fn truncate(name: &[u8]) -> &[u8] {
    if name.len() <= LONGEST_NAME {
        return name;
    }
    let mut end = LONGEST_NAME;
    while end > LONGEST_NAME - 4 && name.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
        end -= 1;
    }
    name.get(..end).unwrap_or_default()
}

/// The value of a string constant, as bytes; escapes that name a NUL or nothing valid are left out.
#[must_use]
pub fn string_value(text: &[u8], kind: TokenKind) -> Cow<'_, [u8]> {
    match kind {
        TokenKind::DollarString => {
            let tag = text
                .get(1..)
                .and_then(|rest| rest.iter().position(|&byte| byte == b'$'))
                .map_or(0, |at| at + 2);
            Cow::Borrowed(
                text.get(tag..text.len().saturating_sub(tag))
                    .unwrap_or_default(),
            )
        }
        TokenKind::String | TokenKind::EscapeString | TokenKind::BitString => {
            let quote = text.iter().position(|&byte| byte == b'\'').unwrap_or(0);
            let body = text
                .get(quote + 1..text.len().saturating_sub(1))
                .unwrap_or_default();
            let escapes = kind == TokenKind::EscapeString;
            let plain = |byte: &u8| *byte != b'\'' && !(escapes && *byte == b'\\');
            if body.iter().all(plain) {
                return Cow::Borrowed(body);
            }
            Cow::Owned(undo_string(body, escapes))
        }
        TokenKind::UnicodeString => {
            let end = text
                .iter()
                .rposition(|&byte| byte == b'\'')
                .unwrap_or(text.len());
            let body = text.get(3..end).unwrap_or_default();
            Cow::Owned(undo_unicode(
                &undo_string(body, false),
                unicode_escape_character(text),
            ))
        }
        _ => Cow::Borrowed(text),
    }
}

/// The text between its opening (`skip` bytes) and its closing quote, which may have UESCAPE after it.
fn inner(text: &[u8], skip: usize, mark: u8) -> &[u8] {
    let mut at = skip;
    while let Some(&byte) = text.get(at) {
        if byte != mark {
            at += 1;
        } else if text.get(at + 1) == Some(&mark) {
            at += 2;
        } else {
            break;
        }
    }
    text.get(skip..at).unwrap_or_default()
}

fn undouble(body: &[u8], mark: u8) -> Cow<'_, [u8]> {
    if !body.contains(&mark) {
        return Cow::Borrowed(body);
    }
    let mut out = Vec::with_capacity(body.len());
    let mut skip = false;
    for &byte in body {
        if skip && byte == mark {
            skip = false;
            continue;
        }
        skip = byte == mark;
        out.push(byte);
    }
    Cow::Owned(out)
}

/// Undoes `''`, continuation lines and, if asked, backslashes.
fn undo_string(body: &[u8], escapes: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut at = 0;
    while let Some(&byte) = body.get(at) {
        at += 1;
        match byte {
            b'\'' if body.get(at) == Some(&b'\'') => {
                out.push(b'\'');
                at += 1;
            }
            // The end of a line that is continued: on to the next quote outside of a comment.
            b'\'' => {
                while let Some(&between) = body.get(at) {
                    at += 1;
                    if between == b'-' {
                        while body
                            .get(at)
                            .is_some_and(|&byte| byte != b'\n' && byte != b'\r')
                        {
                            at += 1;
                        }
                    } else if between == b'\'' {
                        break;
                    }
                }
            }
            b'\\' if escapes => at = undo_backslash(body, at, &mut out),
            _ => out.push(byte),
        }
    }
    out
}

/// Undoes the escape whose backslash stands before `at`; where it ends.
fn undo_backslash(body: &[u8], at: usize, out: &mut Vec<u8>) -> usize {
    let Some(&byte) = body.get(at) else { return at };
    let digits = |from: usize, most: usize, radix: u32| {
        let text = body.get(from..).unwrap_or_default();
        let count = text
            .iter()
            .take(most)
            .take_while(|&&digit| (digit as char).is_digit(radix))
            .count();
        let value = text.iter().take(count).fold(0_u32, |value, &digit| {
            value * radix + (digit as char).to_digit(radix).unwrap_or(0)
        });
        (count, value)
    };
    match byte {
        b'n' => out.push(b'\n'),
        b't' => out.push(b'\t'),
        b'r' => out.push(b'\r'),
        b'b' => out.push(8),
        b'f' => out.push(12),
        b'0'..=b'7' => {
            let (count, value) = digits(at, 3, 8);
            out.push(value.to_le_bytes()[0]);
            return at + count;
        }
        b'x' => {
            let (count, value) = digits(at + 1, 2, 16);
            out.push(if count == 0 {
                b'x'
            } else {
                value.to_le_bytes()[0]
            });
            return at + 1 + count;
        }
        b'u' | b'U' => {
            let (count, value) = digits(at + 1, if byte == b'u' { 4 } else { 8 }, 16);
            push_character(value, out);
            return at + 1 + count;
        }
        _ => out.push(byte),
    }
    at + 1
}

fn push_character(value: u32, out: &mut Vec<u8>) {
    if let Some(character) = char::from_u32(value) {
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// The escape character of a `U&` token: a backslash, unless UESCAPE says otherwise.
fn unicode_escape_character(text: &[u8]) -> u8 {
    let mark = text.get(2).copied().unwrap_or(b'"');
    let end = 3 + inner(text, 3, mark).len() + 1;
    let rest = text.get(end..).unwrap_or_default();
    if mark == b'"' && rest.len() > 3 {
        return rest.get(rest.len() - 2).copied().unwrap_or(b'\\');
    }
    if mark == b'\''
        && rest
            .to_ascii_lowercase()
            .windows(7)
            .any(|window| window == b"uescape")
    {
        return rest.get(rest.len() - 2).copied().unwrap_or(b'\\');
    }
    b'\\'
}

/// Undoes `\XXXX` and `\+XXXXXX`, surrogate pairs included.
fn undo_unicode(body: &[u8], escape: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut at = 0;
    let mut high = None;
    while let Some(&byte) = body.get(at) {
        at += 1;
        if byte != escape {
            out.push(byte);
            continue;
        }
        if body.get(at) == Some(&escape) {
            out.push(escape);
            at += 1;
            continue;
        }
        let (skip, count) = if body.get(at) == Some(&b'+') {
            (1, 6)
        } else {
            (0, 4)
        };
        let digits = body
            .get(at + skip..at + skip + count)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let Some(value) = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) else {
            out.push(byte);
            continue;
        };
        at += skip + count;
        match (high.take(), value) {
            (_, 0xd800..=0xdbff) => high = Some(value),
            (Some(first), 0xdc00..=0xdfff) => push_character(
                0x1_0000 + ((first - 0xd800) << 10) + (value - 0xdc00),
                &mut out,
            ),
            _ => push_character(value, &mut out),
        }
    }
    out
}
