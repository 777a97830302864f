//! TLS towards production that must not be trusted, and that may be.

use super::*;

#[test]
fn tls_name_mismatch() {
    let mut production = own_production("");
    let root = production.certify("DNS:elsewhere.example");
    let url = format!(
        "{}?sslmode=verify-full&sslrootcert={}",
        production.tcp("reader", "shop").url(),
        root.display()
    );
    mentions(
        &must_not_start(&url, &[]),
        &["certificate", "valid for name", "127.0.0.1"],
    );
}

#[test]
fn tls_with_the_right_name() {
    let mut production = own_production("");
    let root = production.certify("IP:127.0.0.1");
    let fresh = Servers::fresh();
    let url = format!(
        "{}?sslmode=verify-full&sslrootcert={}",
        production.tcp("reader", "shop").url(),
        root.display()
    );
    let (_up, address, _) =
        Up::start(&url, &fresh.tcp("postgres", "postgres").url(), &[]).expect("it comes up");
    let mut session = Session::connect(&address).unwrap();
    assert_eq!(session.value("SELECT count(*) FROM users"), "2000");
    session.must("UPDATE users SET name = 'over TLS' WHERE id = 2");
    assert_eq!(session.value("SELECT count(*) FROM users"), "2000");
    // Both ways to production, the proxy's own and the foreign server's, are encrypted.
    let plain = production.connect("shop").value(
        "SELECT count(*) FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE usename = 'reader' AND NOT ssl",
    );
    assert_eq!(plain, "0");
}

#[test]
fn an_untrusted_certificate() {
    let mut production = own_production("");
    production.certify("IP:127.0.0.1");
    let mut other = Server::start("other");
    let root = other.certify("IP:127.0.0.1");
    let url = format!(
        "{}?sslmode=verify-full&sslrootcert={}",
        production.tcp("reader", "shop").url(),
        root.display()
    );
    mentions(&must_not_start(&url, &[]), &["invalid peer certificate"]);
}
