//! Tokens → facts: the statement's skeleton, read by PostgreSQL's own rules for reserved words.
//!
//! A reserved word can't be a bare name (except after AS or a dot), so the clauses of SELECT, INSERT, UPDATE,
//! DELETE and MERGE are found at the token level, exactly and in one pass; expressions are walked as token
//! sequences that only need to tell subqueries, names, calls and types apart. What isn't understood is an error,
//! never a guess. It knows no catalog.
//!
//! Nesting of parentheses costs no stack; nesting of queries does, and is bounded by [`DEEPEST`].

use super::facts::{Column, Function, Kind, LevelId, Name, Script, Span, Statement};
use super::keyword::Keyword;
use super::lexer::{self, Token, TokenKind};
use super::{literal, utility, witness, words};

/// The deepest nesting of queries that is read.
const DEEPEST: usize = 120;
/// The most names of WITH clauses in scope at once.
pub(super) const MOST_CTES: usize = 500;

/// Why a statement can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unread(pub(super) String);

pub(super) type Result<T> = std::result::Result<T, Unread>;

/// Reads a query string.
pub(super) fn read(text: &[u8], standard_conforming_strings: bool) -> Script {
    if u32::try_from(text.len()).is_err() {
        return Script {
            statements: vec![unreadable(0..text.len(), "the text is too long")],
        };
    }
    let tokens = lexer::lex(text, standard_conforming_strings);
    let statements = split(&tokens)
        .map(|tokens| statement(text, tokens))
        .collect();
    Script { statements }
}

fn unreadable(span: Span, why: &str) -> Statement {
    Statement {
        span,
        kind: Kind::Unreadable {
            why: why.to_owned(),
        },
        ..Statement::default()
    }
}

/// The statements' tokens, without semicolons. A semicolon inside parentheses or the body of an SQL-standard routine separates nothing.
fn split(tokens: &[Token]) -> impl Iterator<Item = &[Token]> {
    let mut rest = tokens;
    std::iter::from_fn(move || {
        while let Some((first, others)) = rest.split_first() {
            if first.kind != TokenKind::Semicolon {
                break;
            }
            rest = others;
        }
        if rest.is_empty() {
            return None;
        }
        let end = statement_end(rest);
        let (statement, others) = rest.split_at(end);
        rest = others;
        Some(statement)
    })
}

fn statement_end(tokens: &[Token]) -> usize {
    let routine = matches!(
        tokens,
        [
            Token {
                keyword: Keyword::Create,
                ..
            },
            Token {
                keyword: Keyword::Function | Keyword::Procedure,
                ..
            },
            ..
        ] | [
            Token {
                keyword: Keyword::Create,
                ..
            },
            Token {
                keyword: Keyword::Or,
                ..
            },
            Token {
                keyword: Keyword::Replace,
                ..
            },
            Token {
                keyword: Keyword::Function | Keyword::Procedure,
                ..
            },
            ..
        ]
    );
    let mut depth = 0_usize;
    let mut blocks = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match (token.kind, token.keyword) {
            (TokenKind::Open, _) => depth += 1,
            (TokenKind::Close, _) => depth = depth.saturating_sub(1),
            (TokenKind::Semicolon, _) if depth == 0 && blocks == 0 => return at,
            (_, Keyword::Begin)
                if routine
                    && tokens
                        .get(at + 1)
                        .is_some_and(|next| next.keyword == Keyword::Atomic) =>
            {
                blocks += 1
            }
            (_, Keyword::Case) if blocks > 0 => blocks += 1,
            (_, Keyword::End) if blocks > 0 => blocks -= 1,
            _ => {}
        }
    }
    tokens.len()
}

fn statement(text: &[u8], tokens: &[Token]) -> Statement {
    let span = tokens.first().map_or(0, |token| token.start as usize)
        ..tokens.last().map_or(0, |token| token.end as usize);
    let mut facts = match Pairs::find(tokens) {
        Ok(pairs) => {
            let mut reader = Reader::new(text, tokens, &pairs);
            match utility::statement(&mut reader, 0, tokens.len()) {
                Ok(kind) => {
                    let mut facts = reader.finish();
                    facts.kind = kind;
                    facts
                }
                Err(Unread(why)) => unreadable(span.clone(), &why),
            }
        }
        Err(Unread(why)) => unreadable(span.clone(), &why),
    };
    facts.span = span;
    if let Some(table) = witness::objects(text, &facts) {
        facts = unreadable(facts.span, &format!("readers disagree about {table}"));
    }
    facts.words = words::of(text, tokens);
    facts.parameters = words::highest_parameter(text, tokens);
    facts
}

/// Which bracket belongs to which, and which open parentheses hold a query.
struct Pairs {
    mates: Vec<u32>,
    queries: Vec<bool>,
}

impl Pairs {
    fn find(tokens: &[Token]) -> Result<Self> {
        let mut mates = vec![0_u32; tokens.len()];
        let mut open = Vec::new();
        for (at, token) in tokens.iter().enumerate() {
            match token.kind {
                TokenKind::Open | TokenKind::OpenBracket => open.push(at),
                TokenKind::Close | TokenKind::CloseBracket => {
                    let opening = if token.kind == TokenKind::Close {
                        TokenKind::Open
                    } else {
                        TokenKind::OpenBracket
                    };
                    let mate = open.pop().filter(|&mate| {
                        tokens.get(mate).is_some_and(|token| token.kind == opening)
                    });
                    let Some(mate) = mate else {
                        return Err(Unread("unbalanced parentheses".into()));
                    };
                    // The number of tokens is bounded by that of bytes, which was checked.
                    #[allow(clippy::cast_possible_truncation)]
                    {
                        set(&mut mates, mate, at as u32);
                        set(&mut mates, at, mate as u32);
                    }
                }
                TokenKind::Unterminated => {
                    return Err(Unread("an unterminated quotation or comment".into()));
                }
                TokenKind::Bad => return Err(Unread("an unknown character".into())),
                _ => {}
            }
        }
        if !open.is_empty() {
            return Err(Unread("unbalanced parentheses".into()));
        }
        let mut queries = vec![false; tokens.len()];
        for at in (0..tokens.len()).rev() {
            let Some(next) = tokens.get(at + 1) else {
                continue;
            };
            if !tokens
                .get(at)
                .is_some_and(|token| token.kind == TokenKind::Open)
            {
                continue;
            }
            let query = match next.keyword {
                Keyword::Select | Keyword::With | Keyword::Table => true,
                Keyword::Values => tokens
                    .get(at + 2)
                    .is_some_and(|token| token.kind == TokenKind::Open),
                // A query in parentheses is one itself if nothing but a query's further clauses follows.
                _ if next.kind == TokenKind::Open && queries.get(at + 1) == Some(&true) => {
                    let mate = mates.get(at + 1).map_or(0, |&mate| mate as usize);
                    tokens.get(mate + 1).is_some_and(|token| {
                        token.kind == TokenKind::Close || ends_core(token.keyword)
                    })
                }
                _ => false,
            };
            set(&mut queries, at, query);
        }
        Ok(Self { mates, queries })
    }
}

fn set<T>(values: &mut [T], at: usize, value: T) {
    if let Some(place) = values.get_mut(at) {
        *place = value;
    }
}

/// The word begins what can follow a SELECT's core: a set operation, or a clause of the query expression.
pub(super) fn ends_core(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::Union
            | Keyword::Intersect
            | Keyword::Except
            | Keyword::Order
            | Keyword::Limit
            | Keyword::Offset
            | Keyword::Fetch
            | Keyword::For
    )
}

/// Reads one statement's tokens and gathers its facts.
pub(super) struct Reader<'a> {
    pub(super) text: &'a [u8],
    pub(super) tokens: &'a [Token],
    pairs: &'a Pairs,
    /// What was found so far.
    pub(super) out: Statement,
    /// The names of WITH clauses in scope, innermost last.
    pub(super) ctes: Vec<String>,
    /// The query level whose text is being read.
    pub(super) level: Option<LevelId>,
    depth: usize,
    /// For each token, whether it was said what it is.
    accounted: Vec<bool>,
    /// The tokens of the outermost queries: in them everything must be accounted for.
    queries: Vec<(usize, usize)>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a [u8], tokens: &'a [Token], pairs: &'a Pairs) -> Self {
        Self {
            text,
            tokens,
            pairs,
            out: Statement::default(),
            ctes: Vec::new(),
            level: None,
            depth: 0,
            accounted: vec![false; tokens.len()],
            queries: Vec::new(),
        }
    }

    /// Says that the tokens `from .. end` are something known.
    pub(super) fn account(&mut self, from: usize, end: usize) {
        for at in from..end {
            set(&mut self.accounted, at, true);
        }
    }

    /// The identifiers of queries that nothing is known of. Unquoted key words aren't among them: the grammar says what they are.
    fn loose(&self) -> Vec<String> {
        let tokens = self.queries.iter().flat_map(|&(from, end)| from..end);
        let loose = tokens.filter(|&at| {
            self.is_identifier(at)
                && self.keyword(at) == Keyword::Other
                && self.accounted.get(at) == Some(&false)
        });
        loose.map(|at| self.name(at)).collect()
    }

    /// Everything in text order.
    fn finish(self) -> Statement {
        let loose = self.loose();
        let mut out = self.out;
        out.loose = loose;
        let mut order: Vec<usize> = (0..out.relations.len()).collect();
        order.sort_by_key(|&id| {
            out.relations
                .get(id)
                .map_or(0, |relation| relation.span.start)
        });
        let mut places = vec![0; order.len()];
        for (place, &id) in order.iter().enumerate() {
            set(&mut places, id, place);
        }
        out.relations.sort_by_key(|relation| relation.span.start);
        for write in &mut out.writes {
            write.target = places.get(write.target).copied().unwrap_or(write.target);
        }
        out.columns
            .sort_by_key(|column| column.spans.first().map_or(0, |span| span.start));
        out.functions.sort_by_key(|function| function.span.start);
        out
    }

    pub(super) fn token(&self, at: usize) -> Option<Token> {
        self.tokens.get(at).copied()
    }

    pub(super) fn keyword(&self, at: usize) -> Keyword {
        self.tokens
            .get(at)
            .map_or(Keyword::Other, |token| token.keyword)
    }

    pub(super) fn kind(&self, at: usize) -> Option<TokenKind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    pub(super) fn is(&self, at: usize, kind: TokenKind) -> bool {
        self.kind(at) == Some(kind)
    }

    pub(super) fn is_keyword(&self, at: usize, keyword: Keyword) -> bool {
        self.keyword(at) == keyword
    }

    /// The keywords stand there, one after the other.
    pub(super) fn are(&self, at: usize, keywords: &[Keyword]) -> bool {
        keywords
            .iter()
            .enumerate()
            .all(|(offset, &keyword)| self.keyword(at + offset) == keyword)
    }

    pub(super) fn is_identifier(&self, at: usize) -> bool {
        self.tokens
            .get(at)
            .is_some_and(|token| token.is_identifier())
    }

    /// A `ColId`: it can name a column, a table, an alias.
    pub(super) fn is_column_name(&self, at: usize) -> bool {
        self.tokens
            .get(at)
            .is_some_and(|token| token.is_identifier() && token.keyword.names_column())
    }

    pub(super) fn is_string(&self, at: usize) -> bool {
        self.tokens.get(at).is_some_and(|token| token.is_string())
    }

    pub(super) fn bytes(&self, at: usize) -> &'a [u8] {
        self.tokens
            .get(at)
            .and_then(|token| self.text.get(token.span()))
            .unwrap_or_default()
    }

    pub(super) fn is_star(&self, at: usize) -> bool {
        self.is(at, TokenKind::Operator) && self.bytes(at) == b"*"
    }

    pub(super) fn is_operator(&self, at: usize, operator: &[u8]) -> bool {
        self.is(at, TokenKind::Operator) && self.bytes(at) == operator
    }

    /// The closing bracket of the opening one at `at`.
    pub(super) fn mate(&self, at: usize) -> usize {
        self.pairs
            .mates
            .get(at)
            .map_or(self.tokens.len(), |&mate| mate as usize)
    }

    /// The parenthesis at `at` holds a query.
    pub(super) fn holds_query(&self, at: usize) -> bool {
        self.pairs.queries.get(at) == Some(&true)
    }

    /// The bytes of the tokens `from .. end`; empty where there is none.
    pub(super) fn span(&self, from: usize, end: usize) -> Span {
        match (
            self.token(from),
            end.checked_sub(1).and_then(|last| self.token(last)),
        ) {
            (Some(first), Some(last)) if from < end => first.start as usize..last.end as usize,
            _ => {
                let at = from
                    .checked_sub(1)
                    .and_then(|before| self.token(before))
                    .map_or(0, |token| token.end as usize);
                at..at
            }
        }
    }

    /// The name that the identifier at `at` stands for.
    pub(super) fn name(&self, at: usize) -> String {
        self.kind(at)
            .map_or_else(String::new, |kind| literal::name(self.bytes(at), kind))
    }

    /// What is wrong with the token at `at`.
    pub(super) fn unexpected(&self, at: usize, end: usize, place: &str) -> Unread {
        if at >= end {
            return Unread(format!("{place} ends too early"));
        }
        let mut word: String = String::from_utf8_lossy(self.bytes(at))
            .chars()
            .take(40)
            .collect();
        if self.is_string(at) {
            word = "a string".into();
        }
        Unread(format!("unexpected {word} in {place}"))
    }

    /// Refuses the token at `at` unless it is the keyword; the next place.
    pub(super) fn expect(
        &self,
        at: usize,
        end: usize,
        keyword: Keyword,
        place: &str,
    ) -> Result<usize> {
        if at < end && self.keyword(at) == keyword {
            Ok(at + 1)
        } else {
            Err(self.unexpected(at, end, place))
        }
    }

    /// Refuses anything left over.
    pub(super) fn expect_end(&self, at: usize, end: usize, place: &str) -> Result<()> {
        if at == end {
            Ok(())
        } else {
            Err(self.unexpected(at, end, place))
        }
    }

    /// Runs `read`, which reads the query in `from .. end`, one level deeper.
    pub(super) fn deeper<T>(
        &mut self,
        from: usize,
        end: usize,
        read: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        if self.depth == 0 {
            self.queries.push((from, end));
        }
        if self.depth >= DEEPEST {
            return Err(Unread("nested too deeply".into()));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// The first token of `from .. end`, outside of parentheses, whose keyword `stops`. Labels after AS don't count,
    /// nor words that belong to something else: `IS DISTINCT FROM`, `WITHIN GROUP`, `COLLATION FOR`.
    pub(super) fn boundary(
        &self,
        from: usize,
        end: usize,
        stops: impl Fn(Keyword) -> bool,
    ) -> usize {
        let mut at = from;
        while at < end {
            let Some(token) = self.token(at) else { break };
            match token.kind {
                TokenKind::Open | TokenKind::OpenBracket => at = self.mate(at),
                TokenKind::Word if token.keyword == Keyword::As => at += 1,
                TokenKind::Word
                    if token.keyword != Keyword::Other
                        && stops(token.keyword)
                        && !self.belongs_to_expression(at, from) =>
                {
                    return at;
                }
                _ => {}
            }
            at += 1;
        }
        end
    }

    /// The first `keyword` of `from .. end` outside of parentheses; `end`, if there is none.
    pub(super) fn find(&self, from: usize, end: usize, keyword: Keyword) -> usize {
        let mut at = from;
        while at < end {
            match self.kind(at) {
                Some(TokenKind::Open | TokenKind::OpenBracket) => at = self.mate(at),
                Some(_) if self.keyword(at) == keyword => return at,
                Some(_) => {}
                None => break,
            }
            at += 1;
        }
        end
    }

    /// The word, which could begin a clause, is a part of an expression that began at `from` or later.
    pub(super) fn belongs_to_expression(&self, at: usize, from: usize) -> bool {
        let before = |count: usize| {
            at.checked_sub(count)
                .filter(|&before| before >= from)
                .map_or(Keyword::Other, |before| self.keyword(before))
        };
        match self.keyword(at) {
            Keyword::From => {
                before(1) == Keyword::Distinct
                    && (before(2) == Keyword::Is
                        || (before(2) == Keyword::Not && before(3) == Keyword::Is))
            }
            Keyword::Group => before(1) == Keyword::Within,
            Keyword::For => before(1) == Keyword::Collation,
            _ => false,
        }
    }

    /// The places of the commas outside of parentheses, as ranges between them.
    pub(super) fn commas(&self, from: usize, end: usize) -> Vec<(usize, usize)> {
        let mut parts = Vec::new();
        let mut start = from;
        let mut at = from;
        while at < end {
            match self.kind(at) {
                Some(TokenKind::Open | TokenKind::OpenBracket) => at = self.mate(at),
                Some(TokenKind::Comma) => {
                    parts.push((start, at));
                    start = at + 1;
                }
                _ => {}
            }
            at += 1;
        }
        if start < end || !parts.is_empty() {
            parts.push((start, end));
        }
        parts
    }

    /// The end of the identifier chain `a.b.c` (or `a.b.*`) that begins at `at`.
    pub(super) fn chain(&self, at: usize, end: usize) -> usize {
        let mut next = at + 1;
        while next + 1 < end
            && self.is(next, TokenKind::Dot)
            && (self.is_identifier(next + 1) || self.is_star(next + 1))
        {
            next += 2;
            if self.is_star(next - 1) {
                break;
            }
        }
        next
    }

    /// The object name that the chain `from .. end` is: its last two parts.
    pub(super) fn chain_name(&self, from: usize, end: usize) -> Name {
        let name = self.name(end.saturating_sub(1));
        let schema = end
            .checked_sub(3)
            .filter(|&at| at >= from)
            .map(|at| self.name(at));
        Name { schema, name }
    }

    /// Notes the column reference `from .. end`.
    pub(super) fn column(&mut self, from: usize, end: usize) {
        self.account(from, end);
        let mut column = Column {
            parts: Vec::new(),
            spans: Vec::new(),
            level: self.level,
        };
        for at in (from..end).step_by(2) {
            column.parts.push(if self.is_star(at) {
                "*".to_owned()
            } else {
                self.name(at)
            });
            column.spans.push(self.span(at, at + 1));
        }
        self.out.columns.push(column);
    }

    /// Notes the call of the function named `from .. end`.
    pub(super) fn function(&mut self, from: usize, end: usize) {
        self.account(from, end);
        let function = Function {
            name: self.chain_name(from, end),
            span: self.span(from, end),
            level: self.level,
        };
        self.out.functions.push(function);
    }
}
