//! What a preview's database takes over from production, so that it shows and sorts values as production does.

use std::fmt::Write as _;

use tokio_postgres::Client;

/// What a preview's server takes over from production, so that it shows and sorts values as production does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Likeness {
    /// production's major version.
    pub major: u32,
    /// The name of production's database.
    pub database: String,
    /// Its encoding, for example `UTF8`.
    pub encoding: String,
    /// Its locale provider.
    pub provider: LocaleProvider,
    /// LC_COLLATE.
    pub collate: String,
    /// LC_CTYPE.
    pub ctype: String,
    /// The ICU locale or the built-in locale's name; `None` with libc.
    pub locale: Option<String>,
    /// ICU's own rules.
    pub icu_rules: Option<String>,
    /// Settings whose values change what clients see (`TimeZone`, `DateStyle`, ..): name and value.
    pub settings: Vec<(String, String)>,
    /// `max_prepared_transactions`: two-phase commit works in the preview when it does in production.
    pub max_prepared_transactions: u32,
}

/// Who knows how to sort text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocaleProvider {
    /// The C library.
    Libc,
    /// The ICU library.
    Icu,
    /// PostgreSQL itself (17 and newer).
    Builtin,
}

impl LocaleProvider {
    /// Its name in `CREATE DATABASE`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Libc => "libc",
            Self::Icu => "icu",
            Self::Builtin => "builtin",
        }
    }
}

/// The settings that are carried over, as SQL literals: those that change a value's text or a text's parsing, and that anybody may read (`lo_compat_privileges` only a superuser may set).
pub(crate) const CARRIED: &str = "'TimeZone', 'DateStyle', 'IntervalStyle', 'extra_float_digits', 'bytea_output', 'default_text_search_config',
    'lc_monetary', 'lc_numeric', 'lc_time', 'xmlbinary', 'xmloption', 'timezone_abbreviations', 'standard_conforming_strings',
    'backslash_quote', 'escape_string_warning', 'array_nulls', 'transform_null_equals', 'quote_all_identifiers', 'lo_compat_privileges'";

impl Likeness {
    /// Reads it from production.
    ///
    /// # Errors
    /// When production can't be asked.
    pub async fn read(production: &Client) -> Result<Self, tokio_postgres::Error> {
        let number: i32 = production
            .query_one("SELECT current_setting('server_version_num')::int", &[])
            .await?
            .get(0);
        let major = u32::try_from(number / 10_000).unwrap_or(0);
        // Columns have come and changed their names: 15 has daticulocale, 16 daticurules, 17 datlocale.
        let (provider, locale, rules) = match major {
            17.. => ("datlocprovider::text", "datlocale", "daticurules"),
            16 => ("datlocprovider::text", "daticulocale", "daticurules"),
            15 => ("datlocprovider::text", "daticulocale", "NULL::text"),
            _ => ("'c'", "NULL::text", "NULL::text"),
        };
        let row = production
            .query_one(
                &format!(
                    "SELECT datname::text, pg_encoding_to_char(encoding)::text, datcollate::text, datctype::text, {provider}, {locale}, {rules},
                            current_setting('max_prepared_transactions')::int
                     FROM pg_catalog.pg_database WHERE datname = current_database()"
                ),
                &[],
            )
            .await?;
        let settings = production
            .query(
                &format!("SELECT name, reset_val FROM pg_catalog.pg_settings WHERE name IN ({CARRIED}) AND reset_val IS NOT NULL ORDER BY name"),
                &[],
            )
            .await?;
        Ok(Self {
            major,
            database: row.get(0),
            encoding: row.get(1),
            collate: row.get(2),
            ctype: row.get(3),
            provider: match row.get::<_, &str>(4) {
                "i" => LocaleProvider::Icu,
                "b" => LocaleProvider::Builtin,
                _ => LocaleProvider::Libc,
            },
            locale: row.get(5),
            icu_rules: row.get(6),
            settings: settings
                .iter()
                .map(|row| (row.get(0), row.get(1)))
                .collect(),
            max_prepared_transactions: u32::try_from(row.get::<_, i32>(7)).unwrap_or(0),
        })
    }

    /// The statement that makes the database. `major` is the version of the server that it is made on.
    #[must_use]
    pub fn create_database(&self, major: u32) -> String {
        let mut sql = format!(
            "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}",
            identifier(&self.database),
            literal(&self.encoding),
            literal(&self.collate),
            literal(&self.ctype),
        );
        if major >= 15 {
            let _ = write!(sql, " LOCALE_PROVIDER {}", self.provider.name());
        }
        match (self.provider, &self.locale) {
            (LocaleProvider::Icu, Some(locale)) => {
                let _ = write!(sql, " ICU_LOCALE {}", literal(locale));
            }
            (LocaleProvider::Builtin, Some(locale)) => {
                let _ = write!(sql, " BUILTIN_LOCALE {}", literal(locale));
            }
            _ => {}
        }
        if let (Some(rules), true) = (&self.icu_rules, major >= 16) {
            let _ = write!(sql, " ICU_RULES {}", literal(rules));
        }
        sql
    }

    /// The collation in words, for messages.
    #[must_use]
    pub fn locale_name(&self) -> &str {
        self.locale.as_deref().unwrap_or(&self.collate)
    }
}

/// Quotes an identifier.
#[must_use]
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a string literal, whatever `standard_conforming_strings` says; valid in configuration files too as long as there is no backslash.
#[must_use]
pub fn literal(value: &str) -> String {
    let quoted = value.replace('\'', "''");
    if quoted.contains('\\') {
        format!("E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn likeness(provider: LocaleProvider, locale: Option<&str>) -> Likeness {
        Likeness {
            major: 16,
            database: "my \"shop\"".into(),
            encoding: "UTF8".into(),
            provider,
            collate: "en_US.UTF-8".into(),
            ctype: "en_US.UTF-8".into(),
            locale: locale.map(Into::into),
            icu_rules: None,
            settings: Vec::new(),
            max_prepared_transactions: 0,
        }
    }

    #[test]
    fn the_database_is_made_with_productions_locale() {
        assert_eq!(
            likeness(LocaleProvider::Libc, None).create_database(15),
            "CREATE DATABASE \"my \"\"shop\"\"\" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'en_US.UTF-8' LC_CTYPE 'en_US.UTF-8' LOCALE_PROVIDER libc"
        );
        assert!(
            !likeness(LocaleProvider::Libc, None)
                .create_database(14)
                .contains("PROVIDER")
        );
        assert!(
            likeness(LocaleProvider::Icu, Some("de-DE"))
                .create_database(16)
                .ends_with("LOCALE_PROVIDER icu ICU_LOCALE 'de-DE'")
        );
        assert!(
            likeness(LocaleProvider::Builtin, Some("C.UTF-8"))
                .create_database(17)
                .ends_with("LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'")
        );
    }
}
