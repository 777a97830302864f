//! Bytes → tokens, by PostgreSQL's own lexical rules (manual 4.1, `src/backend/parser/scan.l`).
//!
//! It works on bytes: every byte from 0x80 on is part of an identifier, as in PostgreSQL itself, so a query in any
//! server-safe encoding can be read and spans are byte ranges of what came. It knows no grammar; the one thing
//! that it takes from the parser's front end is `UESCAPE`, which becomes part of the token before it.

use std::ops::Range;

use super::keyword::Keyword;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// An unquoted identifier or key word.
    Word,
    /// `"name"`
    Quoted,
    /// `U&"name"`, with its UESCAPE if any.
    UnicodeQuoted,
    /// `'text'` with backslashes as they stand, continuation lines included; also `N'text'`.
    String,
    /// `E'text'` (or `'text'` when strings don't conform to the standard).
    EscapeString,
    /// `U&'text'`, with its UESCAPE if any.
    UnicodeString,
    /// `B'01'`, `X'1f'`
    BitString,
    /// `$tag$text$tag$`
    DollarString,
    /// `1`, `1.5e3`, `0xff`, `1_000`
    Number,
    /// `$1`
    Parameter,
    /// Any operator of one or more characters.
    Operator,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `[`
    OpenBracket,
    /// `]`
    CloseBracket,
    /// `,`
    Comma,
    /// `;`
    Semicolon,
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// `:`
    Colon,
    /// `::`
    Typecast,
    /// `:=`
    ColonEquals,
    /// `=>`
    EqualsGreater,
    /// A quoted thing or comment without its end; it reaches to the end of the text.
    Unterminated,
    /// A byte that can't begin a token.
    Bad,
}

/// A token: what it is and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// Its first byte.
    pub start: u32,
    /// The byte after its last one.
    pub end: u32,
    /// The key word that it is, if it is unquoted and doesn't follow a dot.
    pub keyword: Keyword,
    /// What it is.
    pub kind: TokenKind,
}

impl Token {
    /// Its byte range.
    #[must_use]
    pub fn span(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// It is an identifier, quoted or not (key words included).
    #[must_use]
    pub fn is_identifier(self) -> bool {
        matches!(
            self.kind,
            TokenKind::Word | TokenKind::Quoted | TokenKind::UnicodeQuoted
        )
    }

    /// It is a string constant of any form.
    #[must_use]
    pub fn is_string(self) -> bool {
        matches!(
            self.kind,
            TokenKind::String
                | TokenKind::EscapeString
                | TokenKind::UnicodeString
                | TokenKind::BitString
                | TokenKind::DollarString
        )
    }
}

/// Whether a key word stands in a text, outside of strings, comments and quoted names.
#[must_use]
pub fn says(text: &str, keyword: Keyword) -> bool {
    lex(text.as_bytes(), true)
        .iter()
        .any(|token| token.keyword == keyword)
}

/// All tokens of a text; white space and comments are left out. Text of 4 GiB or more isn't read (PostgreSQL's own limit is 1 GiB).
#[must_use]
pub fn lex(text: &[u8], standard_conforming_strings: bool) -> Vec<Token> {
    let mut lexer = Lexer {
        text,
        at: 0,
        standard: standard_conforming_strings,
        tokens: Vec::with_capacity(text.len() / 5 + 4),
    };
    if u32::try_from(text.len()).is_ok() {
        lexer.run();
    }
    lexer.tokens
}

struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    standard: bool,
    tokens: Vec<Token>,
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// The byte can begin an identifier.
#[must_use]
pub fn is_identifier_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

/// The byte can stand in an identifier after its first one.
#[must_use]
pub fn is_identifier_part(byte: u8) -> bool {
    is_identifier_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

fn is_operator(byte: u8) -> bool {
    matches!(
        byte,
        b'~' | b'!'
            | b'@'
            | b'#'
            | b'^'
            | b'&'
            | b'|'
            | b'`'
            | b'?'
            | b'+'
            | b'-'
            | b'*'
            | b'/'
            | b'%'
            | b'<'
            | b'>'
            | b'='
    )
}

impl Lexer<'_> {
    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    fn push(&mut self, kind: TokenKind, start: usize, end: usize) {
        // Their length was checked on entry.
        #[allow(clippy::cast_possible_truncation)]
        self.tokens.push(Token {
            start: start as u32,
            end: end as u32,
            keyword: Keyword::Other,
            kind,
        });
        self.at = end;
    }

    fn run(&mut self) {
        while self.at < self.text.len() {
            let start = self.at;
            let byte = self.byte(start);
            let next = self.byte(start + 1);
            match byte {
                _ if is_space(byte) => self.at += 1,
                b'-' if next == b'-' => self.at = self.line_end(start),
                b'/' if next == b'*' => match self.comment_end(start) {
                    Some(end) => self.at = end,
                    None => self.push(TokenKind::Unterminated, start, self.text.len()),
                },
                b'\'' if self.standard => self.string(TokenKind::String, start, start),
                b'\'' => self.string(TokenKind::EscapeString, start, start),
                b'e' | b'E' if next == b'\'' => {
                    self.string(TokenKind::EscapeString, start, start + 1)
                }
                b'n' | b'N' if next == b'\'' && self.standard => {
                    self.string(TokenKind::String, start, start + 1)
                }
                b'n' | b'N' if next == b'\'' => {
                    self.string(TokenKind::EscapeString, start, start + 1)
                }
                b'b' | b'B' | b'x' | b'X' if next == b'\'' => {
                    self.string(TokenKind::BitString, start, start + 1)
                }
                b'u' | b'U' if next == b'&' && self.byte(start + 2) == b'\'' => {
                    self.string(TokenKind::UnicodeString, start, start + 2)
                }
                b'u' | b'U' if next == b'&' && self.byte(start + 2) == b'"' => {
                    self.quoted(TokenKind::UnicodeQuoted, start, start + 2)
                }
                b'"' => self.quoted(TokenKind::Quoted, start, start),
                b'$' => self.dollar(start),
                b'0'..=b'9' => self.number(start),
                b'.' if next.is_ascii_digit() => self.number(start),
                _ if is_identifier_start(byte) => self.word(start),
                b'(' => self.push(TokenKind::Open, start, start + 1),
                b')' => self.push(TokenKind::Close, start, start + 1),
                b'[' => self.push(TokenKind::OpenBracket, start, start + 1),
                b']' => self.push(TokenKind::CloseBracket, start, start + 1),
                b',' => self.push(TokenKind::Comma, start, start + 1),
                b';' => self.push(TokenKind::Semicolon, start, start + 1),
                b'.' if next == b'.' => self.push(TokenKind::DotDot, start, start + 2),
                b'.' => self.push(TokenKind::Dot, start, start + 1),
                b':' if next == b':' => self.push(TokenKind::Typecast, start, start + 2),
                b':' if next == b'=' => self.push(TokenKind::ColonEquals, start, start + 2),
                b':' => self.push(TokenKind::Colon, start, start + 1),
                _ if is_operator(byte) => self.operator(start),
                _ => self.push(TokenKind::Bad, start, start + 1),
            }
        }
    }

    fn line_end(&self, from: usize) -> usize {
        let rest = self.text.get(from..).unwrap_or_default();
        rest.iter()
            .position(|&byte| byte == b'\n' || byte == b'\r')
            .map_or(self.text.len(), |at| from + at)
    }

    fn comment_end(&self, start: usize) -> Option<usize> {
        let mut depth = 0_usize;
        let mut at = start;
        while at + 1 < self.text.len() {
            match (self.byte(at), self.byte(at + 1)) {
                (b'/', b'*') => {
                    depth += 1;
                    at += 2;
                }
                (b'*', b'/') => {
                    depth -= 1;
                    at += 2;
                    if depth == 0 {
                        return Some(at);
                    }
                }
                _ => at += 1,
            }
        }
        None
    }

    /// A string whose first quote stands at `quote`, with the lines that continue it.
    fn string(&mut self, kind: TokenKind, start: usize, quote: usize) {
        let mut from = quote;
        loop {
            let Some(end) = self.quote_end(from, b'\'', kind == TokenKind::EscapeString) else {
                return self.push(TokenKind::Unterminated, start, self.text.len());
            };
            match self.continuation(end) {
                Some(next) => from = next,
                None => {
                    self.push(kind, start, end);
                    return;
                }
            }
        }
    }

    fn quoted(&mut self, kind: TokenKind, start: usize, quote: usize) {
        match self.quote_end(quote, b'"', false) {
            Some(end) => self.push(kind, start, end),
            None => self.push(TokenKind::Unterminated, start, self.text.len()),
        }
    }

    /// The end of the quoted thing that begins at `quote`.
    fn quote_end(&self, quote: usize, mark: u8, escapes: bool) -> Option<usize> {
        let mut at = quote + 1;
        while let Some(&byte) = self.text.get(at) {
            if escapes && byte == b'\\' {
                at += 2;
            } else if byte != mark {
                at += 1;
            } else if self.byte(at + 1) == mark {
                at += 2;
            } else {
                return Some(at + 1);
            }
        }
        None
    }

    /// The next quote when the string that ended at `from` goes on after a line break (`quotecontinue`).
    fn continuation(&self, from: usize) -> Option<usize> {
        let mut at = from;
        let mut newline = false;
        loop {
            match self.byte(at) {
                b'\n' | b'\r' => {
                    newline = true;
                    at += 1;
                }
                byte if is_space(byte) => at += 1,
                b'-' if self.byte(at + 1) == b'-' => at = self.line_end(at),
                b'\'' if newline => return Some(at),
                _ => return None,
            }
        }
    }

    fn dollar(&mut self, start: usize) {
        if self.byte(start + 1).is_ascii_digit() {
            let mut end = start + 1;
            while self.byte(end).is_ascii_digit() {
                end += 1;
            }
            return self.push(TokenKind::Parameter, start, end);
        }
        let mut end = start + 1;
        if is_identifier_start(self.byte(end)) && end < self.text.len() {
            while self.byte(end) != b'$'
                && is_identifier_part(self.byte(end))
                && end < self.text.len()
            {
                end += 1;
            }
        }
        if self.byte(end) != b'$' {
            return self.push(TokenKind::Bad, start, start + 1);
        }
        let body = end + 1;
        let tag = self.text.get(start..body).unwrap_or_default();
        match find(self.text.get(body..).unwrap_or_default(), tag) {
            Some(at) => self.push(TokenKind::DollarString, start, body + at + tag.len()),
            None => self.push(TokenKind::Unterminated, start, self.text.len()),
        }
    }

    fn number(&mut self, start: usize) {
        let based = match (self.byte(start), self.byte(start + 1).to_ascii_lowercase()) {
            (b'0', b'x') => Some(u8::is_ascii_hexdigit as fn(&u8) -> bool),
            (b'0', b'o' | b'b') => Some(u8::is_ascii_digit as fn(&u8) -> bool),
            _ => None,
        };
        if let Some(digit) = based {
            let end = self.digits(start + 2, digit);
            if end > start + 2 {
                return self.push(TokenKind::Number, start, end);
            }
        }
        let mut end = self.digits(start, u8::is_ascii_digit);
        // `1..10` in a PL/pgSQL loop is two numbers.
        if self.byte(end) == b'.' && self.byte(end + 1) != b'.' {
            end = self.digits(end + 1, u8::is_ascii_digit);
        }
        if self.byte(end).eq_ignore_ascii_case(&b'e') {
            let sign = usize::from(matches!(self.byte(end + 1), b'+' | b'-'));
            let exponent = self.digits(end + 1 + sign, u8::is_ascii_digit);
            if exponent > end + 1 + sign {
                end = exponent;
            }
        }
        self.push(TokenKind::Number, start, end);
    }

    /// The end of digits, each of which may have an underscore before it.
    fn digits(&self, from: usize, digit: fn(&u8) -> bool) -> usize {
        let mut at = from;
        while digit(&self.byte(at)) || (self.byte(at) == b'_' && digit(&self.byte(at + 1))) {
            at += 1;
        }
        at
    }

    fn word(&mut self, start: usize) {
        let mut end = start + 1;
        while self
            .text
            .get(end)
            .is_some_and(|&byte| is_identifier_part(byte))
        {
            end += 1;
        }
        let after_dot = self
            .tokens
            .last()
            .is_some_and(|token| token.kind == TokenKind::Dot);
        let word = self.text.get(start..end).unwrap_or_default();
        let keyword = if after_dot {
            Keyword::Other
        } else {
            Keyword::find(word)
        };
        self.push(TokenKind::Word, start, end);
        if let Some(token) = self.tokens.last_mut() {
            token.keyword = keyword;
        }
        if keyword == Keyword::Uescape {
            self.unicode_escape();
        }
    }

    /// Makes `UESCAPE 'c'` a part of the token before it.
    fn unicode_escape(&mut self) {
        let before = self
            .tokens
            .len()
            .checked_sub(2)
            .and_then(|at| self.tokens.get(at));
        if !before.is_some_and(|token| {
            matches!(
                token.kind,
                TokenKind::UnicodeQuoted | TokenKind::UnicodeString
            )
        }) {
            return;
        }
        let mut at = self.at;
        loop {
            match (self.byte(at), self.byte(at + 1)) {
                (byte, _) if is_space(byte) => at += 1,
                (b'-', b'-') => at = self.line_end(at),
                (b'/', b'*') => match self.comment_end(at) {
                    Some(end) => at = end,
                    None => return,
                },
                (b'\'', _) => break,
                _ => return,
            }
        }
        if let Some(end) = self.quote_end(at, b'\'', false) {
            self.tokens.pop();
            if let Some(token) = self.tokens.last_mut() {
                // Its length was checked on entry.
                #[allow(clippy::cast_possible_truncation)]
                let end = end as u32;
                token.end = end;
            }
            self.at = end;
        }
    }

    fn operator(&mut self, start: usize) {
        let rest = self.text.get(start..).unwrap_or_default();
        let mut length = rest
            .iter()
            .position(|&byte| !is_operator(byte))
            .unwrap_or(rest.len());
        for at in 1..length {
            let pair = (self.byte(start + at), self.byte(start + at + 1));
            if pair == (b'/', b'*') || pair == (b'-', b'-') {
                length = at;
                break;
            }
        }
        // For SQL's sake, an operator ends in + or - only if it has a character that no standard operator has.
        let run = rest.get(..length).unwrap_or_default();
        let special = run.iter().position(|byte| {
            matches!(
                byte,
                b'~' | b'!' | b'@' | b'#' | b'^' | b'&' | b'|' | b'`' | b'?' | b'%'
            )
        });
        while length > 1
            && matches!(self.byte(start + length - 1), b'+' | b'-')
            && special.is_none_or(|at| at >= length - 1)
        {
            length -= 1;
        }
        let kind = if rest.get(..length) == Some(b"=>") {
            TokenKind::EqualsGreater
        } else {
            TokenKind::Operator
        };
        self.push(kind, start, start + length);
    }
}

fn find(text: &[u8], tag: &[u8]) -> Option<usize> {
    // Tags begin and end with `$`; between two of those that don't match nothing is looked at twice but the tag itself.
    let mut at = 0;
    loop {
        let rest = text.get(at..)?;
        at += rest.iter().position(|&byte| byte == b'$')?;
        if text.get(at..)?.starts_with(tag) {
            return Some(at);
        }
        at += 1;
    }
}
