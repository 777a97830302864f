//! What code that no rewriting reaches may touch: the bodies of functions and procedures, and DO blocks.
//!
//! Such code runs inside fresh as it was written. There, INSERT, UPDATE and DELETE are watched by triggers on upper, so that one that would miss
//! production's rows fails loudly; a *read* can't be watched. So a body that may read a relation that production's rows show
//! through is found here, from its text, and the planner refuses to call it. The scan errs on the side of finding: string literals are read like
//! code (dynamic SQL), and a name counts as a read unless the words around it say that it is not.

use std::collections::{BTreeSet, HashMap};

use super::model::{Catalog, Oid, Reach, Routine};

/// Names that matter in a body.
struct Names<'a> {
    /// Relations that production's rows show through, by name.
    backed: HashMap<&'a str, Vec<Oid>>,
    /// What a new row of a relation calls (triggers, defaults, checks), by the relation's name; what a value of a type calls, by the type's.
    triggers: HashMap<&'a str, Vec<Oid>>,
    /// Operators with their functions.
    operators: &'a [(String, Oid)],
    /// Schemas.
    schemas: BTreeSet<&'a str>,
    /// Routines by name.
    routines: HashMap<&'a str, Vec<Oid>>,
}

/// What a body does by itself, and what it calls.
#[derive(Default)]
struct Direct {
    reach: Reach,
    calls: BTreeSet<Oid>,
}

/// Fills in the reach of each routine, calls followed to their ends.
pub(super) fn close(mut routines: Vec<Routine>, catalog: &Catalog) -> Vec<Routine> {
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
    let direct: HashMap<Oid, Direct> = routines
        .iter()
        .map(|routine| (routine.oid, of_routine(routine, &known)))
        .collect();
    let closed = closure(direct);
    for routine in &mut routines {
        if let Some(reach) = closed.get(&routine.oid) {
            routine.reach = reach.clone();
        }
    }
    routines
}

/// What a DO block, or a statement that nobody can read, may touch.
#[must_use]
pub fn of_block(text: &str, catalog: &Catalog) -> Reach {
    let routines = catalog
        .routines
        .iter()
        .map(|(name, same_name)| (name.as_str(), same_name.iter().map(|r| r.oid).collect()))
        .collect();
    let direct = scan(text, true, &Names::new(catalog, routines));
    let mut reach = direct.reach;
    let called = catalog
        .routines
        .values()
        .flatten()
        .filter(|r| direct.calls.contains(&r.oid));
    for routine in called {
        reach.absorb(&routine.reach);
    }
    reach
}

impl Reach {
    /// Adds what something that is called touches.
    pub fn absorb(&mut self, other: &Self) {
        self.reads.extend(&other.reads);
        self.names.extend(&other.names);
        self.changes.extend(&other.changes);
        self.opaque |= other.opaque;
        self.schema |= other.schema;
        self.settings |= other.settings;
    }
}

impl<'a> Names<'a> {
    fn new(catalog: &'a Catalog, routines: HashMap<&'a str, Vec<Oid>>) -> Self {
        let mut names = Self {
            backed: HashMap::new(),
            triggers: HashMap::new(),
            operators: &catalog.operators,
            schemas: catalog.by_name.keys().map(String::as_str).collect(),
            routines,
        };
        for relation in catalog.relations.values() {
            if catalog.is_backed(relation.oid) {
                names
                    .backed
                    .entry(&relation.name)
                    .or_default()
                    .push(relation.oid);
            }
            if !relation.trigger_functions.is_empty() || !relation.row_functions.is_empty() {
                let functions = names.triggers.entry(&relation.name).or_default();
                functions.extend(&relation.trigger_functions);
                functions.extend(&relation.row_functions);
            }
        }
        for (name, same_name) in &catalog.types {
            for of_type in same_name.iter().filter(|t| !t.functions.is_empty()) {
                let functions = names.triggers.entry(name).or_default();
                functions.extend(&of_type.functions);
            }
        }
        names
    }
}

fn of_routine(routine: &Routine, names: &Names<'_>) -> Direct {
    let mut direct = of_body(routine, names);
    direct.calls.extend(&routine.calls);
    direct
}

fn of_body(routine: &Routine, names: &Names<'_>) -> Direct {
    match routine.language.as_str() {
        "sql" => scan(&routine.body, false, names),
        "plpgsql" => scan(&routine.body, true, names),
        "c" | "internal" => Direct::default(),
        _ if routine.extension.is_some() => Direct::default(),
        _ => {
            let mut direct = scan(&routine.body, true, names);
            direct.reach.opaque = true;
            direct
        }
    }
}

fn closure(direct: HashMap<Oid, Direct>) -> HashMap<Oid, Reach> {
    let mut closed: HashMap<Oid, Reach> = direct
        .iter()
        .map(|(oid, routine)| (*oid, routine.reach.clone()))
        .collect();
    loop {
        let mut changed = false;
        for (oid, routine) in &direct {
            let mut reach = closed.get(oid).cloned().unwrap_or_default();
            for callee in routine.calls.iter().filter_map(|callee| closed.get(callee)) {
                reach.absorb(callee);
            }
            if closed.get(oid) != Some(&reach) {
                closed.insert(*oid, reach);
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
    /// `||`
    Concat,
    /// `%I`, `%s`, `%2$I` of `format`
    Hole,
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

fn scan(body: &str, procedural: bool, names: &Names<'_>) -> Direct {
    let tokens = tokens(body);
    let has = |words: &[&str]| tokens.iter().any(|token| token.is_any(words));
    let upserts = has(&["conflict"]);
    // The name of what is changed may be put in at run time.
    let changes_holes = has(&["update", "delete", "merge"])
        && tokens
            .iter()
            .any(|token| matches!(token, Token::Hole | Token::Concat));
    let mut direct = Direct::default();
    let operators = names.operators.iter();
    let used = operators.filter(|(operator, _)| body.contains(operator.as_str()));
    direct.calls.extend(used.map(|(_, function)| *function));
    for (at, token) in tokens.iter().enumerate() {
        let Token::Word(word) = token else { continue };
        let context = Context {
            tokens: &tokens,
            at,
        };
        if let Some(relations) = names.backed.get(word.as_str()) {
            direct.reach.names.extend(relations);
            if context.changes_rows(upserts) || changes_holes && context.is_literal() {
                direct.reach.changes.extend(relations);
            }
            if context.may_read(names) {
                direct.reach.reads.extend(relations);
            }
        }
        direct
            .calls
            .extend(names.triggers.get(word.as_str()).into_iter().flatten());
        if context.follows("(") {
            direct
                .calls
                .extend(names.routines.get(word.as_str()).into_iter().flatten());
        }
        direct.reach.opaque |= context.reads_through_a_hole()
            || (procedural && (context.executes_a_value() || context.lists_a_hole()));
        direct.reach.schema |= [
            "create", "alter", "drop", "truncate", "import", "refresh", "comment",
        ]
        .contains(&word.as_str());
        direct.reach.settings |= word == "set_config" || context.changes_a_setting();
    }
    direct
}

/// What ends the list of a FROM or USING.
const ENDS_A_LIST: [&str; 17] = [
    "where",
    "group",
    "having",
    "window",
    "order",
    "limit",
    "offset",
    "fetch",
    "for",
    "union",
    "except",
    "intersect",
    "returning",
    "set",
    "when",
    "loop",
    "select",
];

/// So many tokens before AS, at most, stands the word that has a query follow it.
const MAKES_A_QUERY_WITHIN: usize = 12;

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
        let mut back = 1;
        if self.before(1) == Some(&Token::Other('.')) {
            match self.before(2) {
                Some(Token::Word(schema)) if names.schemas.contains(schema.as_str()) => back = 3,
                Some(Token::Word(_)) => return false,
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
            return !second.is_some_and(|token| token.is("delete"));
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

    /// `FROM %I`, `JOIN ' || x`: a read of something that the text doesn't name.
    fn reads_through_a_hole(&self) -> bool {
        let Some(word) = self.tokens.get(self.at) else {
            return false;
        };
        let reads = match word {
            word if word.is_any(&["join", "using", "only"]) => true,
            word if word.is("from") => !self.before(1).is_some_and(|token| token.is("delete")),
            word if word.is("table") => !self.before(1).is_some_and(|token| {
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
            }),
            _ => false,
        };
        reads && self.names_a_hole()
    }

    /// `FROM a, ' || x`, `FROM a, %I`, `USING a, %I`: the same, further on in the list. `CREATE TABLE a AS ' || x`, `IN (' || x`: a query that isn't in the text.
    fn lists_a_hole(&self) -> bool {
        let Some(word) = self.tokens.get(self.at) else {
            return false;
        };
        if word.is_any(&["in", "exists", "any", "some"]) && self.follows("(") {
            return self.goes_on(2);
        }
        if word.is("as") {
            let from = self.at.saturating_sub(MAKES_A_QUERY_WITHIN);
            let before = self.tokens.get(from..self.at).unwrap_or_default();
            let makes = before
                .iter()
                .any(|token| token.is_any(&["create", "prepare", "with"]));
            return makes && self.goes_on(1);
        }
        if word.is_any(&["union", "except", "intersect", "explain"]) {
            return self.goes_on(1)
                || self
                    .after(1)
                    .is_some_and(|token| token.is_any(&["all", "analyze"]))
                    && self.goes_on(2);
        }
        let distinct = self.before(1).is_some_and(|token| token.is("distinct"));
        if !word.is_any(&["from", "using", "join"]) || distinct {
            return false;
        }
        // Commas outside of the literal in which the list stands are `format`'s, between its arguments.
        let (mut depth, mut outside) = (0_usize, false);
        for (at, token) in self.tokens.iter().enumerate().skip(self.at + 1) {
            match token {
                Token::Quote => outside = !outside,
                Token::Other('(') => depth += 1,
                Token::Other(')') if depth == 0 => return false,
                Token::Other(')') => depth -= 1,
                Token::Other(';') => return false,
                Token::Other(',') if depth == 0 && !outside => {
                    let comma = Context {
                        tokens: self.tokens,
                        at,
                    };
                    if comma.names_a_hole() {
                        return true;
                    }
                }
                token if depth == 0 && !outside && token.is_any(&ENDS_A_LIST) => return false,
                _ => {}
            }
        }
        false
    }

    fn goes_on(&self, n: usize) -> bool {
        matches!(self.after(n), Some(Token::Hole | Token::Concat))
    }

    /// Whether the name that comes next isn't in the text, or not to its end: `public.' || x`, `log_' || x`.
    fn names_a_hole(&self) -> bool {
        let mut next = 1;
        if self
            .after(next)
            .is_some_and(|token| token.is_any(&["only", "lateral"]))
        {
            next += 1;
        }
        while let (Some(Token::Word(_)), Some(Token::Other('.'))) =
            (self.after(next), self.after(next + 1))
        {
            next += 2;
        }
        self.goes_on(next)
            || matches!(self.after(next), Some(Token::Word(_))) && self.goes_on(next + 1)
    }

    /// `EXECUTE x`: SQL that is made elsewhere.
    fn executes_a_value(&self) -> bool {
        if !self
            .tokens
            .get(self.at)
            .is_some_and(|token| token.is("execute"))
        {
            return false;
        }
        let literal_at = match self.tokens.get(self.at + 1) {
            Some(token) if token.is_any(&["function", "procedure", "on"]) => return false,
            Some(token) if token.is("format") => self.at + 3,
            _ => self.at + 1,
        };
        if self.tokens.get(literal_at) != Some(&Token::Quote) {
            return true;
        }
        // `EXECUTE '' || x`, `EXECUTE format('%s', x)`
        let literal = self.tokens.iter().skip(literal_at);
        let first = literal.into_iter().find(|token| **token != Token::Quote);
        matches!(first, Some(Token::Hole | Token::Concat))
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
            'u' | 'U' if rest.get(1..).is_some_and(|next| next.starts_with("&\"")) => {
                // A name in escapes.
                tokens.push(Token::Hole);
                2
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
            '|' if rest.starts_with("||") => {
                tokens.push(Token::Concat);
                2
            }
            '%' if hole(rest).is_some() => {
                tokens.push(Token::Hole);
                hole(rest).unwrap_or(1)
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

/// The length of `format`'s specifier of an identifier or of text that stands here: `%I`, `%s`, `%2$I`, `%-10s`.
fn hole(text: &str) -> Option<usize> {
    let rest = text.strip_prefix('%')?;
    let rest =
        rest.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '$' | '-' | '*'));
    rest.starts_with(['I', 's'])
        .then(|| text.len() - rest.len() + 1)
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
mod tests {
    use super::*;

    fn names() -> Names<'static> {
        Names {
            backed: HashMap::from([("users", vec![1]), ("Orders", vec![2])]),
            triggers: HashMap::from([("audit", vec![90])]),
            operators: &[],
            schemas: BTreeSet::from(["public"]),
            routines: HashMap::from([("helper", vec![91])]),
        }
    }

    fn reads(body: &str) -> Vec<Oid> {
        scan(body, true, &names()).reach.reads.into_iter().collect()
    }

    #[test]
    fn a_read_is_found_wherever_it_hides() {
        for body in [
            "select count(*) from users",
            "PERFORM 1 FROM public.USERS u",
            "SELECT 1 FROM a JOIN users USING (id)",
            "select 1 from a, users",
            "EXECUTE 'select count(*) from users'",
            "RETURN QUERY TABLE users",
            "select 1 from only users",
            "UPDATE a SET x = 1 FROM users",
            "x := '-- ' || (select 1 from users)",
            "x := '\"' || (select 1 from users) || '\"'",
            "x := $q$ /* $q$; select 1 from users; /* */",
            "x := $$--$$ || (select 1 from users)",
        ] {
            assert_eq!(reads(body), [1], "{body}");
        }
        assert_eq!(reads("select * from \"Orders\""), [2]);
        assert_eq!(reads("select * from orders"), Vec::<Oid>::new());
        let names = scan("INSERT INTO users VALUES (1)", true, &names())
            .reach
            .names;
        assert_eq!(names, BTreeSet::from([1]));
    }

    #[test]
    fn what_is_no_read_is_not_taken_for_one() {
        for body in [
            "INSERT INTO users VALUES (1)",
            "INSERT INTO public.users SELECT 1",
            "UPDATE users SET a = 1 WHERE users.id = NEW.id",
            "DELETE FROM users WHERE id = 1",
            "ALTER TABLE users ADD COLUMN a int",
            "ALTER TABLE IF EXISTS ONLY public.users ADD a int",
            "CREATE INDEX i ON users (a)",
            "u users%ROWTYPE; v users.id%TYPE;",
            "EXECUTE format('ALTER TABLE %I ADD x int', 'users')",
            "-- this reads from users\nRETURN NEW;",
            "/* select from users */ RETURN NEW;",
            "NEW.users := 1",
            "TRUNCATE users",
        ] {
            assert_eq!(reads(body), Vec::<Oid>::new(), "{body}");
        }
    }

    #[test]
    fn sql_made_at_run_time_is_opaque_where_the_text_hides_a_read() {
        let opaque = |body| scan(body, true, &names()).reach.opaque;
        assert!(opaque("EXECUTE format('SELECT count(*) FROM %I', t)"));
        assert!(opaque("EXECUTE 'select * from ' || quote_ident(t)"));
        assert!(opaque("EXECUTE 'select * from public.' || quote_ident(t)"));
        assert!(opaque("EXECUTE 'select * from log_' || year"));
        assert!(opaque("select 1 from U&\"\\0075sers\""));
        assert!(!opaque("EXECUTE 'select a from b where c = ' || d"));
        for body in [
            "EXECUTE 'select 1 from a, ' || quote_ident(t)",
            "EXECUTE format('select 1 from a, %I', t)",
            "EXECUTE format('select 1 from a x, b y, public.%I z where x.id = 1', t)",
            "EXECUTE format('select 1 from (select 1 from c) x, %2$I', 1, t)",
            "EXECUTE format('select 1 from a join b using (id), %I', t)",
            "EXECUTE format('delete from a using b, %I', t)",
            "EXECUTE format('select 1 from %1$I', t)",
            "EXECUTE format('select 1 from %-10s', t)",
            "EXECUTE 'create temp table x as ' || query",
            "EXECUTE 'select 1 from a where id in (' || query || ')'",
            "EXECUTE 'select 1 from a union all ' || query",
            "EXECUTE '' || query",
            "EXECUTE format('%s limit 1', query)",
            "EXECUTE $q$select 1 from a, $q$ || t",
        ] {
            assert!(opaque(body), "{body}");
        }
        for body in [
            "EXECUTE format('select a, %I from b', c)",
            "EXECUTE format('select 1 from b', x || 'y')",
            "EXECUTE format('select 1 from b where c = %s', x), 1",
            "EXECUTE format('select 1 from a, b order by c, %I', t)",
            "EXECUTE format('select extract(year from d), %I', t)",
            "EXECUTE format('insert into %I values (%L, %s)', t, 1, 2)",
            "EXECUTE format('update %I set a = 1 where b in (1, %s)', t, 2)",
            "EXECUTE format('create index %I on %I (%I)', i, t, c)",
            "x := 'a' || b; PERFORM 1 FROM c, d",
        ] {
            assert!(!opaque(body), "{body}");
        }
        assert!(opaque("EXECUTE statement"));
        assert!(opaque("EXECUTE format(template, x)"));
        assert!(!opaque("EXECUTE 'select 1'"));
        assert!(!opaque("EXECUTE format('DROP TABLE %I', t)"));
        assert!(!opaque(
            "CREATE TRIGGER t AFTER INSERT ON a EXECUTE FUNCTION f()"
        ));
        assert!(!opaque("GRANT EXECUTE ON FUNCTION f TO r"));
        assert!(!opaque("EXECUTE 'DELETE FROM ' || t"));
    }

    #[test]
    fn calls_triggers_settings_and_schema_changes_are_seen() {
        let direct = scan(
            "PERFORM helper(1); INSERT INTO audit VALUES (1);",
            true,
            &names(),
        );
        assert_eq!(direct.calls, BTreeSet::from([90, 91]));
        let reach = |body| scan(body, true, &names()).reach;
        assert!(reach("PERFORM set_config('a.b', '1', false)").settings);
        assert!(reach("BEGIN SET search_path = a; END").settings);
        assert!(!reach("UPDATE t SET a = 1").settings);
        assert!(reach("CREATE TABLE t ()").schema);
        assert!(!reach("RETURN NEW").schema);
    }
}
