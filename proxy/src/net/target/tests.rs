#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

fn tcp(name: &str, port: u16) -> Host {
    Host {
        address: Address::Tcp(name.to_owned()),
        port,
    }
}

#[test]
fn both_notations_say_the_same() {
    for (url, string) in [
        ("postgres://u@h/d", "user=u host=h dbname=d"),
        (
            "postgresql://u:p%40w@h:77/d",
            "user=u password=p@w host=h port=77 dbname=d",
        ),
        (
            "postgres://u@/d?host=/run/pg&port=6",
            "user=u host=/run/pg port=6 dbname=d",
        ),
        ("postgres://u@%2Frun%2Fpg/d", "user=u host=/run/pg dbname=d"),
        ("postgres://u@[::1]:9/d", "user=u host=::1 port=9 dbname=d"),
        (
            "postgres://u@a:1,b:2/d",
            "user=u host=a,b port=1,2 dbname=d",
        ),
        (
            "postgres://u@a,b/d?port=3",
            "user=u host=a,b port=3 dbname=d",
        ),
        (
            "postgres://u@h/d?options=-c%20a%3Db&application_name=x",
            "user=u host=h dbname=d options='-c a=b' application_name=x",
        ),
        (
            "postgres://h/d?user=u&password=it%27s",
            r"host=h dbname = d user =u password='it\'s'",
        ),
        ("postgres://u@h", "user=u host=h dbname=u"),
        (
            "postgres://u@h/d?sslmode=verify-full&sslrootcert=/ca.pem&sslcert=/c&sslkey=/k&connect_timeout=3&channel_binding=require",
            "user=u host=h dbname=d sslmode=verify-full sslrootcert=/ca.pem sslcert=/c sslkey=/k connect_timeout=3 channel_binding=require",
        ),
    ] {
        let target = Target::parse(url).unwrap_or_else(|e| panic!("{url}: {e}"));
        assert_eq!(Target::parse(string), Ok(target), "{url} | {string}");
    }
}

#[test]
fn values() {
    let target = Target::parse("postgres://u:p@a:1,b/d?sslrootcert=system&keepalives=1").unwrap();
    assert_eq!(target.hosts, [tcp("a", 1), tcp("b", 5432)]);
    assert_eq!(target.sslmode, SslMode::VerifyFull);
    assert_eq!(target.sslrootcert, Some(RootCertificates::System));
    assert_eq!(target.password, Some(Secret::new("p")));
    let target = Target::parse("postgres://u@h/d").unwrap();
    assert_eq!(target.sslmode, SslMode::Prefer);
    assert_eq!(target.password, None);
}

#[test]
fn what_cannot_be_used_is_named() {
    for (text, error) in [
        ("postgres://h/d", TargetError::NoUser),
        ("user=u passwort=x", TargetError::Key("passwort".into())),
        (
            "postgres://u@h/d?target_session_attrs=read-write",
            TargetError::Value {
                key: "target_session_attrs",
                expected: "any",
            },
        ),
        (
            "postgres://u@h:0/d",
            TargetError::Value {
                key: "port",
                expected: "a number from 1 to 65535",
            },
        ),
        (
            "postgres://u@a,b,c/d?port=1,2",
            TargetError::Value {
                key: "port",
                expected: "one port, or one for each host",
            },
        ),
        (
            "postgres://u@h/d?connect_timeout=x",
            TargetError::Value {
                key: "connect_timeout",
                expected: "a number of seconds",
            },
        ),
        (
            "postgres://u%4@h/d",
            TargetError::Syntax("\"%\" without two hexadecimal digits, or not UTF-8"),
        ),
        (
            "postgres://u%00@h/d",
            TargetError::Syntax("\"%\" without two hexadecimal digits, or not UTF-8"),
        ),
        (
            "postgres://u%ff@h/d",
            TargetError::Syntax("\"%\" without two hexadecimal digits, or not UTF-8"),
        ),
        (
            "postgres://u@[::1/d",
            TargetError::Syntax("\"[\" without \"]\" in a host"),
        ),
        (
            "postgres://u@h/d?x",
            TargetError::Syntax("a parameter after \"?\" without \"=\""),
        ),
        (
            "user",
            TargetError::Syntax("\"=\" is missing after a parameter's name"),
        ),
        ("user='u", TargetError::Syntax("a quote that is not closed")),
    ] {
        assert_eq!(Target::parse(text), Err(error), "{text}");
    }
}

#[test]
fn passwords_are_never_shown() {
    let target = Target::parse("postgres://u:geheim@h/d").unwrap();
    assert!(!format!("{target:?}").contains("geheim"));
    assert!(!target.redacted().contains("geheim"));
    let error = Target::parse("postgres://u:geheim@h:geheim2/d?sslmode=geheim3").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("geheim"));
}

#[test]
fn for_libpq() {
    let target = Target::parse("postgres://u:p@a,b/d?sslrootcert=/ca&sslmode=verify-ca").unwrap();
    let environment = target.libpq_environment();
    let get = |name| {
        environment
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, v)| v.as_str())
    };
    assert_eq!(get("PGHOST"), Some("a,b"));
    assert_eq!(get("PGPORT"), Some("5432,5432"));
    assert_eq!(get("PGPASSWORD"), Some("p"));
    assert_eq!(get("PGSSLROOTCERT"), Some("/ca"));
    assert_eq!(get("PGSSLMODE"), Some("verify-ca"));
    assert_eq!(get("PGOPTIONS"), None);
    assert!(
        environment
            .iter()
            .all(|(name, _)| LIBPQ_VARIABLES.contains(name))
    );
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(postgres://)?[a-z@:/?&=%,'\\[\\]\\\\ \\x00-\\x20é]{0,40}") {
        let _ = Target::parse(&text);
    }

    #[test]
    fn any_password_survives(password in "[^\\x00]{1,20}") {
        let encoded: String = password.bytes().map(|b| format!("%{b:02x}")).collect();
        let quoted = password.replace('\\', "\\\\").replace('\'', "\\'");
        for text in [format!("postgres://u:{encoded}@h/d"), format!("host=h dbname=d user=u password='{quoted}'")] {
            let target = Target::parse(&text).unwrap();
            let read = target.password.unwrap();
            proptest::prop_assert_eq!(read.expose(), password.as_str());
        }
    }
}
