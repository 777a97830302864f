//! Expressions, walked as token sequences: subqueries, columns, function calls and types are told apart; what
//! they mean isn't looked at. Parentheses live on a heap stack, so their depth is no concern.
//!
//! In doubt a name is reported as a column, and a call as a function: both reports are harmless when they're wrong.

use super::keyword::{Category, Keyword};
use super::lexer::TokenKind;
use super::reader::{Reader, Result, Unread};

/// Where expressions stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Anywhere but in the following.
    Plain,
    /// In the list of SELECT or RETURNING: labels may follow, with AS or without.
    List,
    /// In GROUP BY: `ROLLUP (..)` and `CUBE (..)` aren't calls.
    Grouping,
}

/// What an open parenthesis or bracket belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Plain,
    /// `CAST (x AS type)` and its like.
    Cast,
    /// A window's definition.
    Window,
    /// A window's frame clause, up to the parenthesis.
    Frame,
    /// The arguments of an SQL/XML function, where `NAME x` is a label.
    Xml,
}

/// The operators that aren't worth a note.
const EVERYDAY: &[&[u8]] = &[
    b"=", b"<>", b"!=", b"<", b">", b"<=", b">=", b"+", b"-", b"*", b"/", b"%", b"||", b"~", b"!~",
    b"~*", b"!~*", b"~~", b"!~~", b"~~*", b"!~~*", b"->", b"->>", b"#>", b"#>>", b"@>", b"<@",
    b"?", b"?|", b"?&", b"&&",
];

impl Reader<'_> {
    /// Walks the expressions `from .. end`.
    pub(super) fn expressions(&mut self, from: usize, end: usize, place: Place) -> Result<()> {
        Walk {
            reader: self,
            groups: Vec::new(),
            place,
            end,
            at: from,
            operand: false,
        }
        .run()
    }

    /// Walks a window's definition `from .. end`, without its parentheses.
    pub(super) fn window_definition(&mut self, from: usize, end: usize) -> Result<()> {
        let mut walk = Walk {
            reader: self,
            groups: vec![Group::Window],
            place: Place::Plain,
            end,
            at: from,
            operand: false,
        };
        walk.skip_window_name();
        walk.run()
    }
}

/// A function that is written without parentheses.
pub(super) fn is_keyword_function(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::CurrentCatalog
            | Keyword::CurrentDate
            | Keyword::CurrentRole
            | Keyword::CurrentSchema
            | Keyword::CurrentTime
            | Keyword::CurrentTimestamp
            | Keyword::CurrentUser
            | Keyword::Localtime
            | Keyword::Localtimestamp
            | Keyword::SessionUser
            | Keyword::User
    )
}

/// Key words whose parenthesis isn't the argument list of a function that could be anybody's. (The SQL/JSON ones are
/// left out: before PostgreSQL 16 they were ordinary names.)
fn is_syntax_call(keyword: Keyword) -> bool {
    keyword.category() == Category::ColumnName
        && !matches!(
            keyword,
            Keyword::Json
                | Keyword::JsonArray
                | Keyword::JsonArrayagg
                | Keyword::JsonExists
                | Keyword::JsonObject
                | Keyword::JsonObjectagg
                | Keyword::JsonQuery
                | Keyword::JsonScalar
                | Keyword::JsonSerialize
                | Keyword::JsonTable
                | Keyword::JsonValue
                | Keyword::MergeAction
                // `SUBSTRING(a, 1)` is looked up like any function's name; only the form with FROM is syntax.
                | Keyword::Overlay
                | Keyword::Substring
        )
}

struct Walk<'r, 'a> {
    reader: &'r mut Reader<'a>,
    groups: Vec<Group>,
    place: Place,
    end: usize,
    at: usize,
    /// The token before completes an operand: what follows is an operator, a further word of syntax, or a label.
    operand: bool,
}

impl Walk<'_, '_> {
    fn run(mut self) -> Result<()> {
        while self.at < self.end {
            let Some(token) = self.reader.token(self.at) else {
                break;
            };
            match token.kind {
                TokenKind::Open => self.open(self.at, Group::Plain)?,
                TokenKind::OpenBracket => {
                    self.groups.push(Group::Plain);
                    self.step(1, false);
                }
                TokenKind::Close | TokenKind::CloseBracket => {
                    self.groups.pop();
                    self.step(1, true);
                }
                TokenKind::Comma
                | TokenKind::Colon
                | TokenKind::ColonEquals
                | TokenKind::EqualsGreater => self.step(1, false),
                // A field of a composite value: the value was reported already.
                TokenKind::Dot => self.label(2),
                TokenKind::Typecast => {
                    self.at = self.reader.typed(self.at + 1, self.end)?;
                    self.operand = true;
                }
                TokenKind::Operator => self.operator(),
                TokenKind::Word | TokenKind::Quoted | TokenKind::UnicodeQuoted => {
                    self.word(token.keyword)?
                }
                TokenKind::DotDot | TokenKind::Semicolon => {
                    return Err(self.reader.unexpected(self.at, self.end, "an expression"));
                }
                _ => self.step(1, true),
            }
        }
        Ok(())
    }

    fn step(&mut self, tokens: usize, operand: bool) {
        self.at += tokens;
        self.operand = operand;
    }

    /// Steps over tokens that name something which is of no concern: a label, a field, a collation, a window.
    fn label(&mut self, tokens: usize) {
        self.reader.account(self.at, self.at + tokens);
        self.step(tokens, true);
    }

    /// At the opening parenthesis `at`: reads the query in it, or goes in.
    fn open(&mut self, at: usize, group: Group) -> Result<()> {
        if group == Group::Plain && self.reader.holds_query(at) {
            let close = self.reader.mate(at);
            self.reader.query(at + 1, close)?;
            self.at = close + 1;
            self.operand = true;
        } else {
            self.groups.push(group);
            self.at = at + 1;
            self.operand = false;
        }
        Ok(())
    }

    fn operator(&mut self) {
        let text = self.reader.bytes(self.at);
        let wildcard = text == b"*" && !self.operand;
        if !EVERYDAY.contains(&text) {
            let text = String::from_utf8_lossy(text).into_owned();
            self.reader.out.unusual_operators.insert(text);
        }
        self.step(1, wildcard);
    }

    fn in_group(&self, group: Group) -> bool {
        self.groups.last() == Some(&group)
    }

    /// A word here can only be a label without AS.
    fn at_label(&self) -> bool {
        self.operand && self.place == Place::List && self.groups.is_empty()
    }

    fn word(&mut self, keyword: Keyword) -> Result<()> {
        match keyword.category() {
            Category::Reserved => self.reserved(keyword),
            _ if self.syntax(keyword)? => Ok(()),
            _ => self.name(keyword),
        }
    }

    fn reserved(&mut self, keyword: Keyword) -> Result<()> {
        match keyword {
            Keyword::As if self.in_group(Group::Cast) => {
                self.at = self.reader.typed(self.at + 1, self.end)?;
                self.operand = true;
            }
            Keyword::As => self.label(2),
            Keyword::Collate => {
                let end = self.reader.chain(self.at + 1, self.end);
                self.label(end - self.at);
            }
            Keyword::Not | Keyword::Asc | Keyword::Desc => self.at += 1,
            Keyword::Null | Keyword::True | Keyword::False | Keyword::Default | Keyword::End => {
                self.step(1, true)
            }
            Keyword::Group if self.in_group(Group::Frame) => self.step(1, true),
            _ if is_keyword_function(keyword) => {
                if !self.at_label() {
                    self.reader
                        .out
                        .keyword_functions
                        .insert(keyword.text().to_owned());
                }
                self.step(1, true);
            }
            Keyword::Cast if self.reader.is(self.at + 1, TokenKind::Open) => {
                self.groups.push(Group::Cast);
                self.step(2, false);
            }
            Keyword::Any | Keyword::All | Keyword::Some | Keyword::In | Keyword::Array
                if self.reader.is(self.at + 1, TokenKind::Open) =>
            {
                self.open(self.at + 1, Group::Plain)?;
            }
            Keyword::Select
            | Keyword::Union
            | Keyword::Intersect
            | Keyword::Except
            | Keyword::Table
            | Keyword::Create
            | Keyword::Grant
                if !self.at_label() =>
            {
                return Err(self.reader.unexpected(self.at, self.end, "an expression"));
            }
            _ => self.step(1, false),
        }
        Ok(())
    }

    /// Words that aren't reserved and yet are syntax at this place; whether this is one.
    fn syntax(&mut self, keyword: Keyword) -> Result<bool> {
        let next = self.reader.keyword(self.at + 1);
        let opens = self.reader.is(self.at + 1, TokenKind::Open);
        let after_call =
            self.operand && self.at > 0 && self.reader.is(self.at - 1, TokenKind::Close);
        match keyword {
            Keyword::Other => return Ok(false),
            _ if self.reader.is(self.at + 1, TokenKind::Dot) => return Ok(false),
            Keyword::By
                if matches!(
                    self.before(),
                    Keyword::Order | Keyword::Partition | Keyword::Group
                ) =>
            {
                self.step(1, false)
            }
            Keyword::Is if self.operand => self.is_test(),
            Keyword::Isnull | Keyword::Notnull => self.step(1, true),
            Keyword::Between
            | Keyword::Like
            | Keyword::Ilike
            | Keyword::Similar
            | Keyword::Overlaps
            | Keyword::Escape
                if self.operand && !self.at_label_end() =>
            {
                self.step(1, false);
            }
            Keyword::At if self.operand && next == Keyword::Time => self.step(3, false),
            Keyword::At if self.operand && next == Keyword::Local => self.step(2, true),
            Keyword::Nulls if self.operand && matches!(next, Keyword::First | Keyword::Last) => {
                self.step(2, true)
            }
            Keyword::Operator
                if opens
                    && self.reader.is(
                        self.reader.mate(self.at + 1).saturating_sub(1),
                        TokenKind::Operator,
                    ) =>
            {
                self.qualified_operator();
            }
            Keyword::Over if after_call && opens => self.window(),
            Keyword::Over if after_call && self.reader.is_identifier(self.at + 1) => self.label(2),
            Keyword::Filter if after_call && opens => {
                self.groups.push(Group::Plain);
                self.step(2, false);
            }
            Keyword::Within if after_call && next == Keyword::Group => self.step(2, false),
            Keyword::Partition if self.in_group(Group::Window) && next == Keyword::By => {
                self.step(2, false)
            }
            Keyword::Range | Keyword::Rows | Keyword::Groups
                if self.in_group(Group::Window) && self.begins_frame() =>
            {
                if let Some(group) = self.groups.last_mut() {
                    *group = Group::Frame;
                }
                self.step(1, false);
            }
            Keyword::Between if self.in_group(Group::Frame) => self.step(1, false),
            Keyword::Unbounded
            | Keyword::Preceding
            | Keyword::Following
            | Keyword::Current
            | Keyword::Row
            | Keyword::Exclude
            | Keyword::No
            | Keyword::Others
            | Keyword::Ties
                if self.in_group(Group::Frame) =>
            {
                self.step(1, true);
            }
            Keyword::Rollup | Keyword::Cube if self.place == Place::Grouping && opens => {
                self.groups.push(Group::Plain);
                self.step(2, false);
            }
            Keyword::Grouping if next == Keyword::Sets => self.step(2, false),
            Keyword::Name
                if self.in_group(Group::Xml) && self.reader.is_identifier(self.at + 1) =>
            {
                self.label(2)
            }
            Keyword::Version | Keyword::Standalone | Keyword::Document | Keyword::Content
                if self.in_group(Group::Xml)
                    && !self.reader.is(self.at + 1, TokenKind::Comma)
                    && !self.reader.is(self.at + 1, TokenKind::Dot) =>
            {
                self.step(1, false);
            }
            // Two operands never stand side by side, so an unreserved key word after one is syntax or a label.
            _ if self.operand
                && self.place != Place::List
                && self.groups.is_empty()
                && keyword.category() == Category::Unreserved =>
            {
                self.step(1, false);
            }
            _ if self.operand
                && !self.groups.is_empty()
                && keyword.category() == Category::Unreserved =>
            {
                self.step(1, false)
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn before(&self) -> Keyword {
        self.at
            .checked_sub(1)
            .map_or(Keyword::Other, |before| self.reader.keyword(before))
    }

    /// A word that could be a label is one when nothing follows that it could apply to.
    fn at_label_end(&self) -> bool {
        self.at_label()
            && (self.at + 1 >= self.end || self.reader.is(self.at + 1, TokenKind::Comma))
    }

    /// `IS [NOT] ..`
    fn is_test(&mut self) {
        let mut at = self.at + 1;
        if self.reader.is_keyword(at, Keyword::Not) {
            at += 1;
        }
        let mut operand = true;
        match self.reader.keyword(at) {
            Keyword::Distinct => {
                at += 2;
                operand = false;
            }
            Keyword::Null
            | Keyword::True
            | Keyword::False
            | Keyword::Unknown
            | Keyword::Document
            | Keyword::Normalized => at += 1,
            Keyword::Nfc | Keyword::Nfd | Keyword::Nfkc | Keyword::Nfkd => at += 2,
            Keyword::Json => {
                at += 1;
                if matches!(
                    self.reader.keyword(at),
                    Keyword::Value | Keyword::Array | Keyword::Object | Keyword::Scalar
                ) {
                    at += 1;
                }
                if matches!(self.reader.keyword(at), Keyword::With | Keyword::Without)
                    && self.reader.is_keyword(at + 1, Keyword::Unique)
                {
                    at += 2;
                    at += usize::from(self.reader.is_keyword(at, Keyword::Keys));
                }
            }
            _ => operand = self.at_label_end(),
        }
        self.at = at;
        self.operand = operand;
    }

    /// `OPERATOR(schema.+)`
    fn qualified_operator(&mut self) {
        let close = self.reader.mate(self.at + 1);
        self.reader.account(self.at, close);
        let operator = self.reader.bytes(close - 1);
        let built_in = close == self.at + 3
            || (close == self.at + 5 && self.reader.name(self.at + 2) == "pg_catalog");
        if !built_in || !EVERYDAY.contains(&operator) {
            let operator = String::from_utf8_lossy(operator).into_owned();
            self.reader.out.unusual_operators.insert(operator);
        }
        self.at = close + 1;
        self.operand = false;
    }

    /// At `OVER (`: goes into the window's definition.
    fn window(&mut self) {
        let open = self.at + 1;
        self.groups.push(Group::Window);
        self.at = open + 1;
        self.operand = false;
        self.skip_window_name();
    }

    fn skip_window_name(&mut self) {
        let begins = matches!(
            self.reader.keyword(self.at),
            Keyword::Partition | Keyword::Range | Keyword::Rows | Keyword::Groups
        );
        if self.at < self.end && self.reader.is_column_name(self.at) && !begins {
            self.label(1);
        }
    }

    fn begins_frame(&self) -> bool {
        self.operand
            || self.reader.is(self.at.saturating_sub(1), TokenKind::Open)
            || matches!(
                self.reader.keyword(self.at + 1),
                Keyword::Between | Keyword::Unbounded | Keyword::Current
            )
    }

    /// A name, or a key word used as one.
    fn name(&mut self, keyword: Keyword) -> Result<()> {
        if self.at_label() {
            self.label(1);
            return Ok(());
        }
        if let Some(end) = self.literal_type(keyword)? {
            self.at = end;
            self.operand = true;
            return Ok(());
        }
        let from = self.at;
        let end = self.reader.chain(from, self.end);
        if self.reader.is(end, TokenKind::Open) && end < self.end && !self.reader.is_star(end - 1) {
            return self.call(keyword, from, end);
        }
        if matches!(
            self.reader.kind(end),
            Some(TokenKind::EqualsGreater | TokenKind::ColonEquals)
        ) && end < self.end
        {
            self.label(1);
            return Ok(());
        }
        if keyword == Keyword::SystemUser {
            self.reader
                .out
                .keyword_functions
                .insert(keyword.text().to_owned());
        }
        self.at = end;
        self.operand = true;
        if keyword.category() == Category::TypeFunctionName {
            self.operand = false;
        } else {
            self.reader.column(from, end);
        }
        Ok(())
    }

    /// `type 'literal'`: where it ends.
    fn literal_type(&mut self, keyword: Keyword) -> Result<Option<usize>> {
        if self.operand {
            return Ok(None);
        }
        let built_in = matches!(
            keyword,
            Keyword::Bit
                | Keyword::Char
                | Keyword::Character
                | Keyword::Dec
                | Keyword::Decimal
                | Keyword::Double
                | Keyword::Float
                | Keyword::Interval
                | Keyword::National
                | Keyword::Nchar
                | Keyword::Numeric
                | Keyword::Time
                | Keyword::Timestamp
                | Keyword::Varchar
        );
        let chain = self.reader.chain(self.at, self.end);
        let before_string = chain < self.end && self.reader.is_string(chain);
        if !built_in && !before_string {
            return Ok(None);
        }
        let (name, end) = self.reader.type_name(self.at, self.end)?;
        if end >= self.end || !self.reader.is_string(end) {
            return Ok(None);
        }
        self.reader.out.types.extend(name);
        self.reader.account(self.at, end);
        let after = end + 1;
        Ok(Some(if keyword == Keyword::Interval {
            self.reader.interval_fields(after)
        } else {
            after
        }))
    }

    /// The name `from .. open` and its parenthesis.
    fn call(&mut self, keyword: Keyword, from: usize, open: usize) -> Result<()> {
        match keyword {
            Keyword::Exists => return self.open(open, Group::Plain),
            Keyword::Treat | Keyword::Xmlserialize => self.groups.push(Group::Cast),
            Keyword::Xmlelement
            | Keyword::Xmlpi
            | Keyword::Xmlroot
            | Keyword::Xmlparse
            | Keyword::Xmlexists => self.groups.push(Group::Xml),
            _ => self.groups.push(Group::Plain),
        }
        if !is_syntax_call(keyword) {
            self.reader.function(from, open);
        }
        self.at = open + 1;
        self.operand = false;
        if keyword == Keyword::Extract && self.reader.is_keyword(self.at + 1, Keyword::From) {
            self.label(1);
        }
        if keyword == Keyword::Xmlserialize
            && matches!(
                self.reader.keyword(self.at),
                Keyword::Content | Keyword::Document
            )
        {
            self.at += 1;
        }
        if self.reader.is(self.at, TokenKind::Open)
            && self.reader.keyword(self.at + 1) == Keyword::Select
            && !self.reader.holds_query(self.at)
        {
            return Err(Unread("an unreadable subquery".into()));
        }
        Ok(())
    }
}
