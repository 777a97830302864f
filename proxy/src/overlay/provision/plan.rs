//! The plan of a provisioning: pure, and printable as a SQL script.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;

use super::drift::{self, Change, Collision, Disputed, RelationDrift};
use super::inspect::{Inspection, Preview, Relation};
use super::{Options, foreign_server, role, runtime};
use crate::overlay::names::quote_literal;

/// Stands for production's password in a step's text.
pub(super) const PRODUCTION_PASSWORD: &str = ":'production_password'";
/// Stands for the app role's SCRAM verifier in a step's text.
const CLIENT_VERIFIER: &str = ":'client_verifier'";

/// Why a table is absent.
const NO_RIGHT: &str = "The role that reads production has no SELECT right on it";

/// What provisioning does, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Step>,
    /// Tables of production that the preview goes without, and why.
    pub absent: Vec<(String, String)>,
    /// Tables that the selection leaves out.
    pub excluded: Vec<String>,
    /// Tables that come without production's rows.
    pub empty: Vec<String>,
    /// Production's schema's fingerprint.
    pub fingerprint: String,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it does, for people.
    pub name: String,
    /// How.
    pub action: Action,
}

/// How a step is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// SQL in fresh.
    Sql(String),
    /// SQL in fresh that contains psql-style variables in place of secrets.
    SecretSql(String),
    /// The app role, unless it's somebody else's; the SQL is what is run where it isn't there yet.
    Role(String),
    /// SQL in fresh whose one column names a state: `merged`, `read_only`, `unsupported`, `missing`, `present`.
    Attach(String),
    /// `pg_dump` of production's schema into `pg_restore`.
    Restore(Restore),
    /// The same of what isn't known yet.
    RestoreNew(Box<New>),
    /// What of it had to wait.
    RestoreRest,
    /// A statement that may fail: what it would bring in is then left alone.
    Change(Box<Change>),
    /// What is to be done about one relation that production has changed.
    Drift(Box<RelationDrift>),
    /// A definition that both sides have changed, and that is left alone.
    Compare(Box<Disputed>),
    /// What is left alone.
    Collide(Vec<Collision>),
    /// How production was, for the next time.
    Note(Box<Noted>),
}

/// What of production's schema is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct New {
    /// All that is wanted.
    pub dump: Restore,
    /// The entries of its table of contents that were brought before.
    pub known: BTreeSet<String>,
    /// The new tables.
    pub new: Vec<Relation>,
    /// The others.
    pub others: Vec<Relation>,
    /// Views and functions that the preview has just as production does.
    pub definitions: BTreeSet<String>,
}

/// How production was when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// Its fingerprint.
    pub fingerprint: String,
    /// Its relations.
    pub relations: Vec<Relation>,
    /// Digests of its views and functions.
    pub definitions: BTreeMap<String, String>,
}

/// What of production's schema is restored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restore {
    /// Only these tables (`schema`, `name`) and what belongs to them; empty: everything.
    pub tables: Vec<(String, String)>,
    /// Only these schemas; empty: all.
    pub include_schemas: Vec<String>,
    /// Not these schemas.
    pub exclude_schemas: Vec<String>,
    /// Not these tables: they are left out, or `pg_dump` may not lock them.
    pub exclude_tables: Vec<(String, String)>,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "-- {}", step.name)?;
            match &step.action {
                Action::Sql(text)
                | Action::SecretSql(text)
                | Action::Role(text)
                | Action::Attach(text) => {
                    writeln!(f, "{};\n", text.trim().trim_end_matches(';'))?;
                }
                Action::Change(change) => writeln!(f, "{};\n", change.sql)?,
                Action::Drift(drift) => {
                    for change in drift.structure.iter().chain(&drift.promises) {
                        writeln!(f, "{};", change.sql)?;
                    }
                    writeln!(f)?;
                }
                Action::Restore(_) | Action::RestoreNew(_) | Action::RestoreRest => writeln!(
                    f,
                    "-- pg_dump --schema-only of production, filtered, into pg_restore\n"
                )?,
                Action::Collide(collisions) => left_alone(f, collisions)?,
                Action::Compare(disputed) => {
                    left_alone(f, std::slice::from_ref(&disputed.collision))?;
                }
                Action::Note(_) => writeln!(f, "-- previewpg.note_production\n")?,
            }
        }
        Ok(())
    }
}

fn left_alone(f: &mut fmt::Formatter<'_>, collisions: &[Collision]) -> fmt::Result {
    for collision in collisions {
        writeln!(
            f,
            "-- {}: on production {}; here {}",
            collision.object, collision.production, collision.preview
        )?;
    }
    writeln!(f)
}

fn sql(name: impl Into<String>, text: impl Into<String>) -> Step {
    Step {
        name: name.into(),
        action: Action::Sql(text.into()),
    }
}

/// Plans a provisioning.
#[must_use]
pub fn plan(options: &Options, inspection: &Inspection) -> Plan {
    let mut steps = opening(options, inspection);
    let selected = Selected::of(inspection);
    let production = &inspection.production;
    let rebuild = match &inspection.preview {
        Some(preview) => follow(options, inspection, preview, &selected, &mut steps),
        None => {
            begin(options, inspection, &selected, &mut steps);
            true
        }
    };
    if rebuild {
        steps.push(sql(
            "watch keys, foreign keys and writes",
            "CALL previewpg.build_all()",
        ));
        let sequences = serde_json::to_string(&production.sequences).unwrap_or_default();
        steps.push(sql(
            "set sequences",
            format!(
                "SELECT previewpg.set_sequences({}::jsonb, {})",
                quote_literal(&sequences),
                options.sequence_gap
            ),
        ));
    }
    let app = quote_literal(&options.app.name);
    if !is_current(inspection) {
        steps.extend([
            sql(
                "follow schema changes",
                include_str!("../sql/event_triggers.sql"),
            ),
            sql(
                "grant what clients need",
                format!("SELECT previewpg.put_grants({app})"),
            ),
        ]);
    }
    if rebuild && inspection.preview.is_some() {
        steps.push(Step {
            name: "bring over what needs the tables".to_owned(),
            action: Action::RestoreRest,
        });
    }
    steps.push(Step {
        name: "note that all is done".to_owned(),
        action: Action::Note(Box::new(Noted {
            fingerprint: inspection.fingerprint.clone(),
            relations: production
                .relations
                .iter()
                .filter(|relation| !selected.is_own(relation))
                .cloned()
                .collect(),
            definitions: production
                .definitions
                .iter()
                .map(|(name, text)| (name.clone(), drift::digest(text)))
                .collect(),
        })),
    });
    let absent = selected
        .absent
        .iter()
        .map(|relation| {
            (
                format!("{}.{}", relation.schema, relation.name),
                NO_RIGHT.to_owned(),
            )
        })
        .collect();
    Plan {
        steps,
        absent,
        excluded: names(
            inspection
                .excluded
                .iter()
                .map(|(schema, name)| (schema, name)),
        ),
        empty: names(
            production
                .relations
                .iter()
                .map(|relation| (&relation.schema, &relation.name))
                .filter(|(schema, name)| options.tables.is_empty_one(schema, name)),
        ),
        fingerprint: inspection.fingerprint.clone(),
    }
}

/// Production's relations against those of fresh.
struct Selected<'a> {
    /// Fresh has relations of any kind.
    any_present: bool,
    present: HashSet<(&'a str, &'a str)>,
    /// To be brought.
    missing: Vec<&'a Relation>,
    /// Not to be read.
    absent: Vec<&'a Relation>,
    /// Relations that the preview made itself.
    own: Vec<&'a Relation>,
    /// Known ones under another name: not new.
    renamed: Vec<&'a Relation>,
}

impl<'a> Selected<'a> {
    fn of(inspection: &'a Inspection) -> Self {
        let relations = &inspection.production.relations;
        let present: HashSet<(&str, &str)> = inspection
            .fresh
            .relations
            .iter()
            .map(|(schema, name)| (schema.as_str(), name.as_str()))
            .collect();
        let key = |relation: &'a Relation| (relation.schema.as_str(), relation.name.as_str());
        let mut known: HashSet<(&str, &str)> = HashSet::new();
        let mut renamed = Vec::new();
        if let Some(preview) = &inspection.preview {
            known.extend(
                preview
                    .relations
                    .iter()
                    .map(|known| key(&known.description)),
            );
            renamed.extend(drift::renamed(preview, &inspection.production).map(|(_, to)| to));
        }
        let bringing = inspection.preview.as_ref().map(Preview::bringing);
        let (own, others): (Vec<&Relation>, Vec<&Relation>) = relations.iter().partition(|each| {
            bringing.as_ref().is_some_and(|bringing| {
                present.contains(&key(each))
                    && !known.contains(&key(each))
                    && !bringing.contains(&(each.schema.clone(), each.name.clone()))
                    && !renamed.iter().any(|other| std::ptr::eq(*other, *each))
            })
        });
        let (absent, missing) = others
            .into_iter()
            .filter(|relation| {
                !present.contains(&key(relation))
                    && !known.contains(&key(relation))
                    && !renamed.iter().any(|other| std::ptr::eq(*other, *relation))
            })
            .partition(|relation| !relation.select);
        Self {
            any_present: !present.is_empty(),
            present,
            missing,
            absent,
            own,
            renamed,
        }
    }

    fn is_present(&self, relation: &Relation) -> bool {
        self.present
            .contains(&(relation.schema.as_str(), relation.name.as_str()))
    }

    fn is_own(&self, relation: &Relation) -> bool {
        self.own.iter().any(|other| std::ptr::eq(*other, relation))
    }

    fn is_new(&self, relation: &Relation) -> bool {
        self.missing
            .iter()
            .any(|other| std::ptr::eq(*other, relation))
    }
}

/// What every run does: our own objects, the role, credentials.
fn opening(options: &Options, inspection: &Inspection) -> Vec<Step> {
    let mut steps = vec![
        sql(
            "silence event triggers and fix names",
            "SET session_replication_role = replica; SET search_path = pg_catalog; SET quote_all_identifiers = off; SET client_min_messages = warning; SET plan_cache_mode = force_generic_plan; SET check_function_bodies = off; \
             SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off; SET jit = off; SET synchronous_commit = off; SET log_statement = none; SET log_min_error_statement = panic; SET log_min_duration_statement = -1",
        ),
        sql(
            "create our schemas and the foreign data wrapper",
            runtime::anew(include_str!("../sql/setup.sql")),
        ),
        Step {
            name: "create the role that clients use".to_owned(),
            action: Action::Role(role::statement(
                &options.app.name,
                CLIENT_VERIFIER,
                &options.role_tag,
            )),
        },
        sql(
            "hand over what an interrupted restore made",
            format!(
                "SELECT previewpg.end_restore({}) WHERE EXISTS (SELECT FROM pg_roles r WHERE r.rolname = previewpg.restorer())",
                quote_literal(&options.app.name)
            ),
        ),
        sql(
            "connect fresh with production",
            format!(
                "SELECT previewpg.put_server({}::jsonb, true)",
                quote_literal(
                    &foreign_server::server_options(options, inspection.production.version)
                        .to_string()
                )
            ),
        ),
        Step {
            name: "log in at production".to_owned(),
            action: Action::SecretSql(format!(
                "SELECT previewpg.put_mapping({}, {PRODUCTION_PASSWORD}, {})",
                quote_literal(&foreign_server::lower_target(options).user),
                foreign_server::certificates(foreign_server::lower_target(options))
            )),
        },
    ];
    let current = is_current(inspection);
    if !current {
        // Granted at once: what is made anew is everybody's otherwise.
        let grants = format!(
            "SELECT previewpg.put_grants({})",
            quote_literal(&options.app.name)
        );
        steps.push(sql(
            "create lineage and the runtime",
            format!("{}\n{grants}", runtime::anew(&runtime::text())),
        ));
    }
    steps.push(sql("store the settings", settings(options, inspection)));
    if !current || other_role(options, inspection) {
        steps.push(sql(
            "let clients call what they need",
            format!(
                "SELECT previewpg.put_grants({})",
                quote_literal(&options.app.name)
            ),
        ));
    }
    steps
}

/// Fresh has this version's functions, granted and set off by its event triggers.
fn is_current(inspection: &Inspection) -> bool {
    inspection
        .preview
        .as_ref()
        .is_some_and(|preview| preview.settings.get(runtime::RUNTIME) == Some(&runtime::digest()))
}

/// Clients log in as another role than before.
fn other_role(options: &Options, inspection: &Inspection) -> bool {
    inspection
        .preview
        .as_ref()
        .is_some_and(|preview| preview.settings.get("app_role") != Some(&options.app.name))
}

/// An empty fresh, or one that has tables already.
fn begin(
    options: &Options,
    inspection: &Inspection,
    selected: &Selected<'_>,
    steps: &mut Vec<Step>,
) {
    if !selected.missing.is_empty() || !selected.any_present {
        let whole = dump(options, inspection, selected);
        steps.push(Step {
            name: if selected.any_present {
                format!("bring {} new tables over", selected.missing.len())
            } else {
                "bring production's schema over".to_owned()
            },
            action: Action::Restore(if selected.any_present {
                Restore {
                    tables: selected
                        .missing
                        .iter()
                        .map(|relation| (relation.schema.clone(), relation.name.clone()))
                        .collect(),
                    ..whole
                }
            } else {
                whole
            }),
        });
    }
    steps.push(sql(
        "let comparisons of extensions' types run on production",
        foreign_server::put_server(options, inspection),
    ));
    for relation in &inspection.production.relations {
        if !selected
            .absent
            .iter()
            .any(|other| std::ptr::eq(*other, relation))
        {
            steps.extend(attach(options, selected, relation));
        }
    }
}

/// A preview that lives: what production has changed since. false: nothing was and nothing is to be rebuilt.
fn follow(
    options: &Options,
    inspection: &Inspection,
    preview: &Preview,
    selected: &Selected<'_>,
    steps: &mut Vec<Step>,
) -> bool {
    let production = &inspection.production;
    let mut drift = drift::drift(preview, production, |relation| {
        !options
            .tables
            .is_empty_one(&relation.schema, &relation.name)
    });
    drift
        .collisions
        .extend(selected.own.iter().map(|relation| Collision {
            object: format!("{}.{}", relation.schema, relation.name),
            production: "it was added".to_owned(),
            preview: "it has one of that name of its own".to_owned(),
            refused: false,
        }));
    let changed = preview.settings.get("fingerprint") != Some(&inspection.fingerprint)
        || !selected.missing.is_empty();
    if changed {
        steps.push(Step {
            name: "bring over what is new".to_owned(),
            action: Action::RestoreNew(Box::new(New {
                dump: dump(options, inspection, selected),
                known: preview.objects(),
                new: selected
                    .missing
                    .iter()
                    .map(|relation| (*relation).clone())
                    .collect(),
                others: production
                    .relations
                    .iter()
                    .filter(|relation| !selected.is_new(relation))
                    .cloned()
                    .collect(),
                definitions: production
                    .definitions
                    .iter()
                    .filter(|(name, definition)| {
                        preview
                            .definitions
                            .get(*name)
                            .is_some_and(|here| drift::digest(here) == drift::digest(definition))
                    })
                    .map(|(name, _)| name.clone())
                    .collect(),
            })),
        });
        steps.push(sql(
            "let comparisons of extensions' types run on production",
            foreign_server::put_server(options, inspection),
        ));
    }
    steps.extend(drift.labels.into_iter().map(|change| Step {
        name: change.what.clone(),
        action: Action::Change(Box::new(change)),
    }));
    for relation in &selected.missing {
        steps.extend(attach(options, selected, relation));
    }
    let mut relations = drift.relations;
    // A partition's columns come with its root's.
    relations.sort_by_key(|each| {
        each.description
            .as_ref()
            .is_some_and(|description| description.partition)
    });
    let drifted = relations.iter().any(|each| each.halt.is_none());
    steps.extend(relations.into_iter().map(|relation| Step {
        name: format!("follow {}", relation.name),
        action: Action::Drift(Box::new(relation)),
    }));
    steps.extend(drift.definitions.into_iter().map(|change| Step {
        name: change.what.clone(),
        action: Action::Change(Box::new(change)),
    }));
    steps.extend(drift.disputed.into_iter().map(|disputed| Step {
        name: format!("compare {}", disputed.collision.object),
        action: Action::Compare(Box::new(disputed)),
    }));
    if !drift.collisions.is_empty() {
        steps.push(Step {
            name: "leave alone what is the preview's own".to_owned(),
            action: Action::Collide(drift.collisions),
        });
    }
    let limits = [
        ("copy_up_rows", options.copy_up_rows),
        ("copy_up_bytes", options.copy_up_bytes),
    ];
    let other_limits = limits
        .iter()
        .any(|(name, value)| preview.settings.get(*name) != Some(&value.to_string()));
    changed || drifted || other_limits || !is_current(inspection)
}

/// The dump of all that is wanted.
fn dump(options: &Options, inspection: &Inspection, selected: &Selected<'_>) -> Restore {
    let schemas = |wanted: bool| -> Vec<String> {
        inspection
            .production
            .schemas
            .iter()
            .filter(|schema| options.tables.includes_schema(schema) == wanted)
            .cloned()
            .collect()
    };
    let (include_schemas, exclude_schemas) = if options.tables.schemas.is_empty() {
        (Vec::new(), schemas(false))
    } else {
        (schemas(true), Vec::new())
    };
    Restore {
        tables: Vec::new(),
        include_schemas,
        exclude_schemas,
        exclude_tables: inspection
            .production
            .relations
            .iter()
            .filter(|relation| !relation.select)
            .chain(selected.renamed.iter().chain(&selected.own).copied())
            .map(|relation| (relation.schema.clone(), relation.name.clone()))
            .chain(inspection.excluded.iter().cloned())
            .collect(),
    }
}

fn attach(options: &Options, selected: &Selected<'_>, relation: &Relation) -> Option<Step> {
    if options
        .tables
        .is_empty_one(&relation.schema, &relation.name)
    {
        return None;
    }
    let described = Relation {
        adopted: selected.is_present(relation),
        ..relation.clone()
    };
    // Serializing strings, numbers and booleans can't fail.
    let described = serde_json::to_string(&described).unwrap_or_default();
    Some(Step {
        name: format!("{}.{}", relation.schema, relation.name),
        action: Action::Attach(format!(
            "SELECT previewpg.attach({}::jsonb)",
            quote_literal(&described)
        )),
    })
}

fn names<'a>(pairs: impl Iterator<Item = (&'a String, &'a String)>) -> Vec<String> {
    pairs
        .map(|(schema, name)| format!("{schema}.{name}"))
        .collect()
}

fn settings(options: &Options, inspection: &Inspection) -> String {
    let production_major = (inspection.production.version / 10_000).to_string();
    let values = [
        ("app_role", options.app.name.as_str()),
        ("copy_up_rows", &options.copy_up_rows.to_string()),
        ("copy_up_bytes", &options.copy_up_bytes.to_string()),
        ("production_major", &production_major),
        (runtime::RUNTIME_VERSION, env!("CARGO_PKG_VERSION")),
        (runtime::RUNTIME, &runtime::digest()),
        (
            "same_collation",
            if inspection.production.collate == inspection.fresh.collate
                && inspection.production.ctype == inspection.fresh.ctype
            {
                "true"
            } else {
                "false"
            },
        ),
    ]
    .map(|(name, value)| format!("({}, {})", quote_literal(name), quote_literal(value)))
    .join(", ");
    format!(
        "INSERT INTO previewpg.meta AS m VALUES {values} ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE m.value <> excluded.value"
    )
}
