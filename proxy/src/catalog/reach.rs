//! What code that no rewriting reaches may touch: the bodies of functions and procedures, DO blocks, and views that are read as they stand.
//!
//! Such code runs inside fresh as it was written. There, INSERT, UPDATE and DELETE are watched by triggers on upper, so that one that would miss
//! production's rows fails loudly; a *read* can't be watched. So a body that may read a relation that production's rows show
//! through is found here, from its text, and the planner refuses to call it. The scan errs on the side of finding: string literals are read like
//! code, and a name counts as a read unless the words around it say that it is not. What a body runs without naming it counts as called: triggers, defaults and checks of a
//! table that it names (referential actions and partitions followed), functions of operators, casts that PostgreSQL applies by itself, views.
//!
//! SQL that a body makes at run time makes it *opaque* unless it's known but for values and names: `dynamic.rs` has the rule. So do built-in functions
//! that run a query given as text ([`TEXT_QUERIES`]), languages that can't be read here, names in escapes (`U&".."`), and C functions that no extension owns.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::dynamic;
use super::model::{Cast, Catalog, Oid, Reach, Relation, Routine};
use crate::sql::keyword::Keyword;
use crate::sql::{lexer, literal};

/// Built-in functions, and those of PostgreSQL's own extensions, that run a query or read a table given as text.
pub const TEXT_QUERIES: [&str; 26] = [
    "query_to_xml",
    "query_to_xmlschema",
    "query_to_xml_and_xmlschema",
    "cursor_to_xml",
    "table_to_xml",
    "table_to_xmlschema",
    "table_to_xml_and_xmlschema",
    "schema_to_xml",
    "schema_to_xmlschema",
    "schema_to_xml_and_xmlschema",
    "database_to_xml",
    "database_to_xmlschema",
    "database_to_xml_and_xmlschema",
    "ts_stat",
    "crosstab",
    "crosstab2",
    "crosstab3",
    "crosstab4",
    "crosstabn",
    "connectby",
    "xpath_table",
    "dblink",
    "dblink_exec",
    "dblink_open",
    "dblink_send_query",
    "lo_import",
];

/// Operators that are applied without being written: `IN`, `BETWEEN`, `LIKE`, `SIMILAR TO`, `CASE x WHEN`, `NULLIF`, `USING`, `ORDER BY`, ..
pub const UNWRITTEN_OPERATORS: [&str; 12] = [
    "=", "<>", "<", "<=", ">", ">=", "~~", "!~~", "~~*", "!~~*", "~", "!~",
];

/// Trigger functions of PostgreSQL's extension `refint` that read the tables that their arguments name.
const READS_ITS_ARGUMENTS: [&str; 2] = ["check_primary_key", "check_foreign_key"];

/// Something that runs when something else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Callee {
    Routine(Oid),
    /// A view that production's rows don't show through: it's read as it stands.
    View(Oid),
}

/// Names that matter in a body.
struct Names<'a> {
    /// Relations that production's rows show through, by name.
    backed: HashMap<&'a str, Vec<Oid>>,
    /// Other tables and views.
    own: HashMap<&'a str, Vec<Oid>>,
    /// What using a thing of this name runs: a new row of a relation (triggers, defaults, checks), a value of a type, a view.
    used: HashMap<&'a str, Vec<Callee>>,
    /// What changing or deleting rows of the relation of this name runs besides, through foreign keys.
    cascades: HashMap<&'a str, Vec<Callee>>,
    /// Operators with their functions.
    operators: &'a [(String, Oid)],
    /// Casts that may be applied without a user's type being named.
    casts: &'a [Cast],
    /// Schemas.
    schemas: BTreeSet<&'a str>,
    /// Columns and relations: what stands after a dot without being a call.
    fields: HashSet<&'a str>,
    /// Routines by name.
    routines: HashMap<&'a str, Vec<Oid>>,
}

/// What a body does by itself, and what it calls.
#[derive(Default)]
struct Direct {
    reach: Reach,
    calls: BTreeSet<Callee>,
}

/// Fills in the reach of each routine, calls followed to their ends; gives that of the views that are read as they stand, too.
pub(super) fn close(
    mut routines: Vec<Routine>,
    catalog: &Catalog,
) -> (Vec<Routine>, HashMap<Oid, Reach>) {
    let names: BTreeSet<String> = routines
        .iter()
        .map(|routine| routine.name.clone())
        .collect();
    let mut by_name: HashMap<&str, Vec<Oid>> = HashMap::new();
    for routine in &routines {
        if let Some(name) = names.get(&routine.name) {
            by_name.entry(name).or_default().push(routine.oid);
        }
    }
    let known = Names::new(catalog, by_name);
    let mut direct: HashMap<Callee, Direct> = routines
        .iter()
        .map(|routine| (Callee::Routine(routine.oid), of_routine(routine, &known)))
        .collect();
    for view in catalog.relations.values() {
        if is_read_as_it_stands(view, catalog) {
            let definition = view.definition.as_deref().unwrap_or_default();
            let mut found = scan(definition, &known);
            // PostgreSQL knows what it reads: no table of production. A word that is one's name is a column's here.
            found.reach.reads.clear();
            found.reach.own.clear();
            found.reach.names.clear();
            found.reach.changes.clear();
            found.reach.schema = false;
            direct.insert(Callee::View(view.oid), found);
        }
    }
    let mut closed = closure(direct);
    for routine in &mut routines {
        if let Some(reach) = closed.remove(&Callee::Routine(routine.oid)) {
            routine.reach = reach;
        }
    }
    let views = closed
        .into_iter()
        .filter_map(|(callee, reach)| match callee {
            Callee::View(oid) if reach != Reach::default() => Some((oid, reach)),
            _ => None,
        });
    (routines, views.collect())
}

fn is_read_as_it_stands(relation: &Relation, catalog: &Catalog) -> bool {
    relation.definition.is_some() && !catalog.is_backed(relation.oid)
}

/// What a DO block may touch.
#[must_use]
pub fn of_block(text: &str, catalog: &Catalog) -> Reach {
    let routines = catalog
        .routines
        .iter()
        .map(|(name, same_name)| (name.as_str(), same_name.iter().map(|r| r.oid).collect()))
        .collect();
    let names = Names::new(catalog, routines);
    let mut direct = scan(text, &names);
    let tokens = lexer::lex(text.as_bytes(), true);
    for (at, token) in tokens.iter().enumerate() {
        let bytes = |at: usize| {
            let token = tokens.get(at)?;
            Some((text.as_bytes().get(token.span())?, token.kind))
        };
        if token.keyword == Keyword::Language {
            let language = bytes(at + 1).map(|(bytes, kind)| match kind {
                lexer::TokenKind::Word | lexer::TokenKind::Quoted => literal::name(bytes, kind),
                _ => String::from_utf8_lossy(&literal::string_value(bytes, kind)).into_owned(),
            });
            direct.reach.opaque |= language.is_none_or(|language| language != "plpgsql");
        } else if let Some((bytes, kind)) = bytes(at).filter(|_| token.is_string()) {
            let code = literal::string_value(bytes, kind);
            make_sql(&String::from_utf8_lossy(&code), &names, &mut direct);
        }
    }
    let mut reach = direct.reach;
    for callee in &direct.calls {
        let called = match callee {
            Callee::View(oid) => catalog.view_reach.get(oid),
            Callee::Routine(oid) => catalog
                .routines
                .values()
                .flatten()
                .find(|routine| routine.oid == *oid)
                .map(|routine| &routine.reach),
        };
        if let Some(called) = called {
            reach.absorb(called);
        }
    }
    reach
}

impl Reach {
    /// Adds what something that is called touches.
    pub fn absorb(&mut self, other: &Self) {
        self.reads.extend(&other.reads);
        self.own.extend(&other.own);
        self.names.extend(&other.names);
        self.changes.extend(&other.changes);
        self.opaque |= other.opaque;
        self.schema |= other.schema;
        self.settings |= other.settings;
        self.current_of |= other.current_of;
        self.ends |= other.ends;
    }
}

impl<'a> Names<'a> {
    fn new(catalog: &'a Catalog, routines: HashMap<&'a str, Vec<Oid>>) -> Self {
        let mut names = Self {
            backed: HashMap::new(),
            own: HashMap::new(),
            used: HashMap::new(),
            cascades: HashMap::new(),
            operators: &catalog.operators,
            casts: &catalog.casts,
            schemas: catalog.by_name.keys().map(String::as_str).collect(),
            fields: HashSet::new(),
            routines,
        };
        for relation in catalog.relations.values() {
            let name = relation.name.as_str();
            names.fields.insert(name);
            let columns = relation.columns.iter();
            names
                .fields
                .extend(columns.map(|column| column.name.as_str()));
            if catalog.is_backed(relation.oid) {
                names.backed.entry(name).or_default().push(relation.oid);
            } else if relation.is_lockable() {
                names.own.entry(name).or_default().push(relation.oid);
            }
            if is_read_as_it_stands(relation, catalog) {
                let used = names.used.entry(name).or_default();
                used.push(Callee::View(relation.oid));
            }
            let (own, cascading) = runs_with(relation, catalog);
            if !own.is_empty() {
                names.used.entry(name).or_default().extend(own);
            }
            if !cascading.is_empty() {
                names.cascades.entry(name).or_default().extend(cascading);
            }
        }
        for (name, same_name) in &catalog.types {
            for of_type in same_name.iter().filter(|t| !t.functions.is_empty()) {
                let used = names.used.entry(name).or_default();
                used.extend(of_type.functions.iter().copied().map(Callee::Routine));
            }
        }
        names
    }
}

/// What a write to a relation runs: in itself, its partitions and heirs and the tables under a view; and, through foreign keys, in others.
fn runs_with(relation: &Relation, catalog: &Catalog) -> (BTreeSet<Callee>, BTreeSet<Callee>) {
    let mut own = vec![relation.oid];
    follow(&mut own, catalog, |relation| {
        relation.heirs.iter().chain(&relation.reads)
    });
    let mut all = own.clone();
    follow(&mut all, catalog, |relation| {
        relation
            .heirs
            .iter()
            .chain(&relation.reads)
            .chain(&relation.children)
    });
    let functions = |oids: &[Oid]| -> BTreeSet<Callee> {
        let relations = oids.iter().filter_map(|oid| catalog.relations.get(oid));
        relations
            .flat_map(|found| found.trigger_functions.iter().chain(&found.row_functions))
            .copied()
            .map(Callee::Routine)
            .collect()
    };
    let (own, all) = (functions(&own), functions(&all));
    let cascading = all.difference(&own).copied().collect();
    (own, cascading)
}

/// Adds what `next` leads to, to its end.
pub fn follow<'a, I: Iterator<Item = &'a Oid>>(
    oids: &mut Vec<Oid>,
    catalog: &'a Catalog,
    next: impl Fn(&'a Relation) -> I,
) {
    let mut seen: HashSet<Oid> = oids.iter().copied().collect();
    let mut at = 0;
    while let Some(oid) = oids.get(at).copied() {
        at += 1;
        let Some(relation) = catalog.relations.get(&oid) else {
            continue;
        };
        oids.extend(next(relation).filter(|oid| seen.insert(**oid)));
    }
}

fn of_routine(routine: &Routine, names: &Names<'_>) -> Direct {
    let mut direct = of_body(routine, names);
    let calls = routine.calls.iter().copied().map(Callee::Routine);
    direct.calls.extend(calls);
    direct
}

fn of_body(routine: &Routine, names: &Names<'_>) -> Direct {
    let mut direct = match routine.language.as_str() {
        "sql" => scan(&routine.body, names),
        "plpgsql" => scan_procedure(&routine.body, names),
        "internal" => return Direct::default(),
        "c" => Direct::default(),
        _ if routine.extension.is_some() => Direct::default(),
        _ => scan(&routine.body, names),
    };
    direct.reach.opaque |= match (routine.language.as_str(), &routine.extension) {
        ("sql" | "plpgsql", _) => false,
        (_, Some(_)) => READS_ITS_ARGUMENTS.contains(&routine.name.as_str()),
        (_, None) => true,
    };
    direct
}

fn closure(direct: HashMap<Callee, Direct>) -> HashMap<Callee, Reach> {
    let mut closed: HashMap<Callee, Reach> = direct
        .iter()
        .map(|(callee, found)| (*callee, found.reach.clone()))
        .collect();
    loop {
        let mut changed = false;
        for (callee, found) in &direct {
            let mut reach = closed.get(callee).cloned().unwrap_or_default();
            for callee in found.calls.iter().filter_map(|callee| closed.get(callee)) {
                reach.absorb(callee);
            }
            if closed.get(callee) != Some(&reach) {
                closed.insert(*callee, reach);
                changed = true;
            }
        }
        if !changed {
            return closed;
        }
    }
}

/// A piece of a body; string quotes don't hide what is inside of them.
#[derive(Debug, PartialEq, Eq)]
enum Token {
    /// An identifier or keyword; unquoted ones in lower case.
    Word(String),
    /// `'`
    Quote,
    /// Any other character.
    Other(char),
}

impl Token {
    fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(text) if text == word)
    }

    fn is_any(&self, words: &[&str]) -> bool {
        matches!(self, Self::Word(text) if words.contains(&text.as_str()))
    }
}

/// A body of plpgsql.
fn scan_procedure(body: &str, names: &Names<'_>) -> Direct {
    let mut direct = scan(body, names);
    make_sql(body, names, &mut direct);
    direct
}

/// Adds what the SQL that a body of plpgsql makes at run time may do.
fn make_sql(body: &str, names: &Names<'_>, direct: &mut Direct) {
    let made = dynamic::of(body, &|name| names.routines.contains_key(name));
    direct.reach.opaque |= made.opaque;
    for text in &made.texts {
        let run = scan(text, names);
        direct.reach.absorb(&run.reach);
        direct.calls.extend(run.calls);
    }
    if made.fires_any {
        // The name of what is changed is put in at run time.
        let tokens = tokens(body);
        for (at, token) in tokens.iter().enumerate() {
            let context = Context {
                tokens: &tokens,
                at,
            };
            if let Token::Word(word) = token
                && let Some(relations) = names.backed.get(word.as_str())
                && context.is_literal()
            {
                direct.reach.changes.extend(relations);
            }
        }
        direct.calls.extend(names.used.values().flatten());
        direct.calls.extend(names.cascades.values().flatten());
    }
    if made.calls_any {
        let routines = names.routines.values().flatten().copied();
        direct.calls.extend(routines.map(Callee::Routine));
    }
}

/// The functions of the casts that a text may apply.
pub fn casts_in<'a>(text: &str, casts: &'a [Cast]) -> impl Iterator<Item = Oid> + use<'a> {
    // Nothing else has explicit casts: `::`, CAST, XMLCAST, and the SQL/JSON and XML functions that are told a type.
    let writes = !casts.is_empty() && {
        let lower = text.to_ascii_lowercase();
        ["::", "cast", "json", "xml"]
            .iter()
            .any(|word| lower.contains(word))
    };
    let applied = casts.iter().filter(move |cast| writes || !cast.written);
    applied.map(|cast| cast.function)
}

/// Whether the words CURRENT OF stand in a text, wherever.
pub(crate) fn says_current_of(text: &str) -> bool {
    let mut words = text
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty());
    let mut before = words.next();
    words.any(|word| {
        let current = before.replace(word);
        word.eq_ignore_ascii_case("of")
            && current.is_some_and(|current| current.eq_ignore_ascii_case("current"))
    })
}

fn scan(body: &str, names: &Names<'_>) -> Direct {
    let tokens = tokens(body);
    let mut direct = Direct::default();
    let lower = body.to_ascii_lowercase();
    direct.reach.opaque = lower.contains("u&\"");
    let upserts = lower.contains("conflict");
    direct.reach.current_of = says_current_of(body);
    let used = names.operators.iter().filter(|(operator, _)| {
        UNWRITTEN_OPERATORS.contains(&operator.as_str()) || body.contains(operator.as_str())
    });
    let unnamed = used.map(|(_, function)| *function);
    let unnamed = unnamed.chain(casts_in(body, names.casts));
    direct.calls.extend(unnamed.map(Callee::Routine));
    for (at, token) in tokens.iter().enumerate() {
        let Token::Word(word) = token else { continue };
        let word = word.as_str();
        let context = Context {
            tokens: &tokens,
            at,
        };
        if let Some(relations) = names.backed.get(word) {
            direct.reach.names.extend(relations);
            if context.changes_rows(upserts) {
                direct.reach.changes.extend(relations);
            }
            if context.may_read(names) {
                direct.reach.reads.extend(relations);
            }
        }
        if let Some(relations) = names.own.get(word)
            && context.may_read(names)
        {
            direct.reach.own.extend(relations);
        }
        direct
            .calls
            .extend(names.used.get(word).into_iter().flatten());
        if upserts || !context.is_inserted_into(names) {
            let cascades = names.cascades.get(word).into_iter().flatten();
            direct.calls.extend(cascades);
        }
        let field = context.before(1) == Some(&Token::Other('.')) && !names.fields.contains(word);
        if field || context.follows("(") {
            let called = names.routines.get(word).into_iter().flatten().copied();
            direct.calls.extend(called.map(Callee::Routine));
        }
        direct.reach.opaque |= context.follows("(") && TEXT_QUERIES.contains(&word);
        direct.reach.schema |= [
            "create", "alter", "drop", "truncate", "import", "refresh", "comment",
        ]
        .contains(&word);
        direct.reach.ends |= matches!(word, "commit" | "rollback");
        direct.reach.settings |= word == "set_config" || context.changes_a_setting();
    }
    direct
}

/// A word and what stands around it.
struct Context<'a> {
    tokens: &'a [Token],
    at: usize,
}

impl Context<'_> {
    /// The `n`th token before the word (1: right before), quotes not counted.
    fn before(&self, n: usize) -> Option<&Token> {
        let earlier = self.tokens.get(..self.at)?;
        earlier
            .iter()
            .rev()
            .filter(|token| **token != Token::Quote)
            .nth(n.checked_sub(1)?)
    }

    /// The `n`th token after the word, quotes not counted.
    fn after(&self, n: usize) -> Option<&Token> {
        let later = self.tokens.get(self.at + 1..)?;
        later
            .iter()
            .filter(|token| **token != Token::Quote)
            .nth(n.checked_sub(1)?)
    }

    fn follows(&self, character: &str) -> bool {
        matches!(self.after(1), Some(Token::Other(c)) if character.starts_with(*c))
    }

    fn is_literal(&self) -> bool {
        let quote =
            |at: Option<usize>| at.and_then(|at| self.tokens.get(at)) == Some(&Token::Quote);
        quote(self.at.checked_sub(1)) && quote(Some(self.at + 1))
    }

    /// How many tokens back the one before the word is, its schema, ONLY and IF EXISTS not counted; `None` for a field.
    fn name_begins(&self, names: &Names<'_>) -> Option<usize> {
        let mut back = 1;
        if self.before(1) == Some(&Token::Other('.')) {
            match self.before(2) {
                Some(Token::Word(schema)) if names.schemas.contains(schema.as_str()) => back = 3,
                Some(Token::Word(_)) => return None,
                _ => {}
            }
        }
        if self.before(back).is_some_and(|token| token.is("only")) {
            back += 1;
        }
        if self.before(back).is_some_and(|token| token.is("exists"))
            && self.before(back + 1).is_some_and(|token| token.is("if"))
        {
            back += 2;
        }
        Some(back)
    }

    /// `INSERT INTO` it.
    fn is_inserted_into(&self, names: &Names<'_>) -> bool {
        let before = self.name_begins(names).and_then(|back| self.before(back));
        before.is_some_and(|token| token.is("into"))
    }

    /// Whether the word, a relation's name, may stand where the relation is read.
    fn may_read(&self, names: &Names<'_>) -> bool {
        if self.is_literal() || self.follows(".") {
            return false;
        }
        if self.follows("%")
            && self
                .after(2)
                .is_some_and(|token| token.is_any(&["type", "rowtype"]))
        {
            return false;
        }
        let Some(back) = self.name_begins(names) else {
            return false;
        };
        let (Some(first), second) = (self.before(back), self.before(back + 1)) else {
            return true;
        };
        if first.is_any(&[
            "into",
            "update",
            "truncate",
            "lock",
            "references",
            "analyze",
            "vacuum",
            "on",
            "to",
            "as",
            "column",
        ]) {
            return false;
        }
        if first.is("from") {
            let deletes = second.is_some_and(|token| token.is("delete"));
            return !(deletes && self.begins_a_statement(back + 1));
        }
        if first.is("table") {
            return !second.is_some_and(|token| {
                token.is_any(&[
                    "alter",
                    "create",
                    "drop",
                    "truncate",
                    "lock",
                    "on",
                    "temp",
                    "temporary",
                    "unlogged",
                ])
            });
        }
        true
    }

    /// Whether the word that stands so many tokens before this one begins a statement, for sure: `delete` may be a column's name or an alias as well.
    fn begins_a_statement(&self, back: usize) -> bool {
        match self.before(back + 1) {
            None | Some(Token::Other(';' | '(')) => true,
            Some(token) => token.is_any(&["begin", "then", "else", "loop", "in", "do", "execute"]),
        }
    }

    /// Whether the word, a relation's name, stands where existing rows of the relation are changed: `UPDATE a`, `DELETE FROM a`, `MERGE INTO a`, and
    /// `INSERT INTO a` where the body `upserts`.
    fn changes_rows(&self, upserts: bool) -> bool {
        let mut back = 1;
        while self.before(back) == Some(&Token::Other('.')) {
            back += 2;
        }
        if self.before(back).is_some_and(|token| token.is("only")) {
            back += 1;
        }
        let (Some(first), second) = (self.before(back), self.before(back + 1)) else {
            return false;
        };
        let second = |word: &str| second.is_some_and(|token| token.is(word));
        first.is("update")
            || first.is("from") && second("delete")
            || first.is("into") && (second("merge") || upserts && second("insert"))
    }

    /// A SET or RESET statement (not UPDATE's SET).
    fn changes_a_setting(&self) -> bool {
        let Some(word) = self.tokens.get(self.at) else {
            return false;
        };
        if !word.is_any(&["set", "reset"]) {
            return false;
        }
        match self.at.checked_sub(1).and_then(|at| self.tokens.get(at)) {
            None | Some(Token::Quote | Token::Other(';')) => true,
            Some(token) => token.is_any(&["begin", "then", "else", "loop"]),
        }
    }
}

fn tokens(body: &str) -> Vec<Token> {
    // Where a backslash may escape a quote, or a string stands in dollars, comments can't be told from strings: then they are read like code.
    let comments = !body.contains("\\'") && !has_dollar_quotes(body);
    let mut tokens = Vec::new();
    let mut in_string = false;
    let mut rest = body;
    while let Some(first) = rest.chars().next() {
        if comments && !in_string && rest.starts_with("--") {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
            continue;
        }
        if comments && !in_string && rest.starts_with("/*") {
            rest = rest.split_once("*/").map_or("", |(_, after)| after);
            continue;
        }
        let taken = match first {
            '\'' => {
                in_string = !in_string;
                tokens.push(Token::Quote);
                1
            }
            '"' => {
                let quoted = rest.get(1..).unwrap_or("");
                let end = quoted.find('"').unwrap_or(quoted.len());
                let name = quoted.get(..end).unwrap_or("");
                if name.contains('\'') {
                    // Not a name but the end of a string and all up to the next one.
                    tokens.push(Token::Other('"'));
                    1
                } else {
                    tokens.push(Token::Word(name.to_owned()));
                    (end + 2).min(rest.len())
                }
            }
            c if c.is_whitespace() => c.len_utf8(),
            c if is_word(c) => {
                let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
                let word = rest.get(..end).unwrap_or("");
                tokens.push(Token::Word(word.to_ascii_lowercase()));
                end
            }
            c => {
                tokens.push(Token::Other(c));
                c.len_utf8()
            }
        };
        rest = rest.get(taken..).unwrap_or("");
    }
    tokens
}

/// Whether a dollar quote opens somewhere: `$$`, `$tag$`.
fn has_dollar_quotes(body: &str) -> bool {
    let mut pieces = body.split('$').skip(1).peekable();
    while let Some(piece) = pieces.next() {
        let is_tag = piece.chars().all(|c| c.is_alphanumeric() || c == '_')
            && !piece.starts_with(|c: char| c.is_ascii_digit());
        if is_tag && pieces.peek().is_some() {
            return true;
        }
    }
    false
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

#[cfg(test)]
mod tests;
