//! The app role. Roles belong to the server, and other previews may have databases on it: one that is theirs is not taken over.

use tokio_postgres::Client;

use super::{AppRole, Error, Options};
use crate::auth::verifier::Verifier;
use crate::overlay::names::{quote_identifier, quote_literal};

/// What the comment of a role that previewpg made begins with; whose it is follows.
const MARK: &str = "previewpg: ";

/// A role as the server has it. Guessing passwords begins with the verifier: it isn't shown.
#[derive(Clone, Default)]
struct Found {
    superuser: bool,
    comment: Option<String>,
    /// What is stored of its password.
    verifier: Option<String>,
    /// Other databases of the server have something of it.
    used_elsewhere: bool,
}

impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Found")
            .field("superuser", &self.superuser)
            .field("comment", &self.comment)
            .field("used_elsewhere", &self.used_elsewhere)
            .finish_non_exhaustive()
    }
}

/// What is to be done about it.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    /// The role, its password and its mark are ours to set.
    Take {
        /// The password isn't this one yet.
        password: bool,
    },
    /// It is shared and fits: nothing of it is changed.
    Share,
    /// It is somebody else's.
    Refuse(String),
    /// It is another preview's.
    RefuseOther(String),
}

/// Makes the role, or makes it what it should be.
pub(super) async fn put(options: &Options, fresh: &Client) -> Result<(), Error> {
    // Two previews of one server must not both find a role missing.
    fresh
        .batch_execute("BEGIN; LOCK TABLE pg_catalog.pg_authid IN SHARE ROW EXCLUSIVE MODE")
        .await
        .map_err(Error::Fresh)?;
    let done = put_locked(options, fresh).await;
    let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = fresh.batch_execute(end).await.map_err(Error::Fresh);
    done.and(ended)
}

async fn put_locked(options: &Options, fresh: &Client) -> Result<(), Error> {
    let app = &options.app;
    let found = find(&app.name, fresh).await.map_err(Error::Fresh)?;
    let (verifier, mark) = match decide(found.as_ref(), app, &options.role_tag) {
        Decision::Refuse(whose) => {
            return Err(Error::RoleTaken {
                role: app.name.clone(),
                whose,
                handover: String::new(),
            });
        }
        Decision::RefuseOther(other) => {
            return Err(Error::RoleTaken {
                role: app.name.clone(),
                whose: format!("is another preview's ({other}) and has another password"),
                handover: format!(
                    ", or, if that preview is gone, hand it over there: {}",
                    handover(&app.name, &options.role_tag)
                ),
            });
        }
        Decision::Share => (String::new(), String::new()),
        Decision::Take { password } => (
            app.password
                .as_deref()
                .filter(|_| password)
                .map(|secret| Verifier::new(secret).to_postgres())
                .unwrap_or_default(),
            format!("{MARK}{}", options.role_tag),
        ),
    };
    fresh
        .batch_execute(&statement(&app.name, &quote_literal(&verifier), &mark))
        .await
        .map_err(|source| Error::Step {
            step: "create the role that clients use".to_owned(),
            source,
        })
}

/// The statement that makes a role of another preview's ours: the next provisioning sets its password.
pub(crate) fn handover(name: &str, tag: &str) -> String {
    format!(
        "COMMENT ON ROLE {} IS {}",
        quote_identifier(name),
        quote_literal(&format!("{MARK}{tag}"))
    )
}

/// The statement that does it; `verifier` is a literal or a variable's name.
pub(super) fn statement(name: &str, verifier: &str, mark: &str) -> String {
    format!(
        "SELECT previewpg.put_app_role({}, {verifier}, {})",
        quote_literal(name),
        quote_literal(mark)
    )
}

async fn find(name: &str, fresh: &Client) -> Result<Option<Found>, tokio_postgres::Error> {
    let row = fresh
        .query_opt(
            "SELECT r.rolsuper, pg_catalog.shobj_description(r.oid, 'pg_authid'), r.rolpassword,
                    EXISTS (SELECT FROM pg_catalog.pg_shdepend AS d, pg_catalog.pg_database AS b
                            WHERE b.datname = pg_catalog.current_database()
                              AND d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND d.refobjid = r.oid
                              AND (d.dbid NOT IN (0, b.oid) OR d.classid = 'pg_catalog.pg_database'::pg_catalog.regclass AND d.objid <> b.oid))
             FROM pg_catalog.pg_authid AS r WHERE r.rolname = $1",
            &[&name],
        )
        .await?;
    Ok(row.map(|row| Found {
        superuser: row.get(0),
        comment: row.get(1),
        verifier: row.get(2),
        used_elsewhere: row.get(3),
    }))
}

fn decide(found: Option<&Found>, app: &AppRole, tag: &str) -> Decision {
    let Some(found) = found else {
        return Decision::Take { password: true };
    };
    if found.superuser {
        return Decision::Refuse(
            "is a superuser there, and clients need an ordinary role".to_owned(),
        );
    }
    let fits = match (&app.password, &found.verifier) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(password), Some(verifier)) => {
            Verifier::parse(verifier).is_ok_and(|verifier| verifier.fits(password))
        }
    };
    let owner = found
        .comment
        .as_deref()
        .map(|comment| comment.strip_prefix(MARK));
    match owner {
        Some(Some(owner)) if owner == tag => Decision::Take { password: !fits },
        _ if fits => Decision::Share,
        Some(Some(owner)) => Decision::RefuseOther(owner.to_owned()),
        // Made by somebody, for this database or for nothing yet.
        None if !found.used_elsewhere || found.verifier.is_none() => {
            Decision::Take { password: true }
        }
        None | Some(None) => Decision::Refuse(
            "is used by other databases of the server and has another password".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(password: Option<&str>) -> AppRole {
        AppRole {
            name: "app".to_owned(),
            password: password.map(str::to_owned),
        }
    }

    fn found(comment: Option<&str>, password: Option<&str>, used_elsewhere: bool) -> Found {
        Found {
            superuser: false,
            comment: comment.map(str::to_owned),
            verifier: password.map(|password| Verifier::new(password).to_postgres()),
            used_elsewhere,
        }
    }

    #[test]
    fn a_role_is_taken_shared_or_refused() {
        const OURS: Option<&str> = Some("previewpg: one");
        const THEIRS: Option<&str> = Some("previewpg: two");
        let set = Decision::Take { password: true };
        let keep = Decision::Take { password: false };
        let cases = [
            (found(OURS, Some("a"), true), Some("a"), keep),
            (found(OURS, Some("a"), true), Some("b"), set),
            (
                found(OURS, Some("a"), true),
                None,
                Decision::Take { password: false },
            ),
            (found(THEIRS, Some("a"), false), Some("a"), Decision::Share),
            (found(THEIRS, Some("a"), false), None, Decision::Share),
            (found(None, Some("a"), true), Some("a"), Decision::Share),
            (
                found(None, Some("a"), false),
                Some("b"),
                Decision::Take { password: true },
            ),
            (
                found(None, None, true),
                Some("b"),
                Decision::Take { password: true },
            ),
        ];
        for (role, password, wanted) in cases {
            assert_eq!(
                decide(Some(&role), &app(password), "one"),
                wanted,
                "{role:?} {password:?}"
            );
        }
        assert_eq!(
            decide(None, &app(Some("a")), "one"),
            Decision::Take { password: true }
        );
        for role in [found(THEIRS, Some("a"), false), found(THEIRS, None, false)] {
            assert_eq!(
                decide(Some(&role), &app(Some("b")), "one"),
                Decision::RefuseOther("two".to_owned()),
                "{role:?}"
            );
        }
        for role in [
            found(None, Some("a"), true),
            found(Some("the shop's"), Some("a"), false),
            Found {
                superuser: true,
                ..Found::default()
            },
        ] {
            assert!(
                matches!(
                    decide(Some(&role), &app(Some("b")), "one"),
                    Decision::Refuse(_)
                ),
                "{role:?}"
            );
        }
    }

    #[test]
    fn a_verifier_is_never_shown() {
        let shown = format!("{:?}", found(None, Some("sesame"), false));
        assert!(!shown.contains("SCRAM"), "{shown}");
    }
}
