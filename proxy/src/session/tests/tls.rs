//! Sessions inside of TLS, from the client's first message to its last.

use std::sync::Arc;

use super::support::{Preview, Talk, TestPlanner, say, show};
use crate::net::accept::Greeting;
use crate::net::stream::Stream;
use crate::net::target::Target;
use crate::net::testing::Authority;
use crate::net::tls::ServerTls;
use crate::wire::frontend;

impl Talk {
    /// Runs a query; gives the first row's bytes.
    async fn ask(&mut self, text: &str) -> Vec<u8> {
        let query = say(|out| frontend::query(text.as_bytes(), out).unwrap());
        self.write(&query, 0).await;
        let frames = self.read(1).await;
        let row = frames.iter().find(|frame| frame[0] == b'D');
        row.unwrap_or_else(|| panic!("{text}: {}", show(&frames)))
            .clone()
    }

    /// The certificate that the proxy showed to this client.
    fn certificate(&self) -> Vec<u8> {
        match &self.backend.stream {
            Stream::Client(stream) => stream.get_ref().1.peer_certificates().unwrap()[0].to_vec(),
            other => panic!("no TLS: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_replaced_under_a_connected_client() {
    let authority = Authority::new();
    let (certificate, key) = authority.certify("localhost");
    let tls = Arc::new(ServerTls::load(&certificate, &key).unwrap());
    let greeting = Greeting {
        tls: Some(Arc::clone(&tls)),
        require_tls: true,
    };
    let preview = Preview::start_with(Arc::new(TestPlanner::default()), greeting).await;
    let target = |mode: &str| {
        Target::parse(&format!(
            "host=localhost port={} user=app password=secret dbname=full sslmode={mode} sslrootcert={}",
            preview.port,
            authority.root.display()
        ))
        .unwrap()
    };

    assert!(
        Talk::connect(&target("disable")).await.is_err(),
        "TLS is required"
    );
    let mut first = Talk::connect(&target("verify-full")).await.unwrap();
    let merged = "SELECT v FROM orig ORDER BY id LIMIT 1";
    let row = first.ask(merged).await;

    assert!(!tls.reload().unwrap(), "nothing has changed");
    authority.certify_into("localhost", &certificate, &key);
    assert!(tls.reload().unwrap());
    let mut second = Talk::connect(&target("verify-full")).await.unwrap();
    assert_ne!(
        first.certificate(),
        second.certificate(),
        "who comes now gets the new one"
    );

    std::fs::write(&key, "no key").unwrap();
    assert!(tls.reload().is_err());
    let mut third = Talk::connect(&target("verify-full")).await.unwrap();
    assert_eq!(
        second.certificate(),
        third.certificate(),
        "what can't be used is not taken up"
    );

    for talk in [&mut first, &mut second, &mut third] {
        assert_eq!(talk.ask(merged).await, row);
        // More than any buffer holds, across many TLS records.
        let large = talk.ask("SELECT repeat('x', 3000000)").await;
        assert_eq!(large.len(), 3_000_000 + 11);
    }
}
