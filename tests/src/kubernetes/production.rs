//! A production server on this machine that pods reach, with a database for each test.

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Cluster;
use crate::client::{Address, Session};
use crate::digest::digest;
use crate::servers::{PASSWORD, Server};

/// A server. The shared one has the roles `reader`, who may only read, `writer`, and `app`, who owns what is in the databases.
pub struct Production {
    /// The server.
    pub server: Server,
    host: String,
}

/// One database of it.
pub struct Database {
    /// The server.
    pub production: &'static Production,
    /// Its name.
    pub name: String,
}

impl Production {
    /// The server that all tests of this binary share.
    pub fn shared(cluster: &Cluster) -> &'static Production {
        static SHARED: OnceLock<Production> = OnceLock::new();
        SHARED.get_or_init(|| {
            let production = Production::start(cluster, "production");
            production.server.connect("postgres").must(&format!(
                "CREATE ROLE app LOGIN PASSWORD '{PASSWORD}';
                 CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'; GRANT pg_read_all_data TO reader;
                 CREATE ROLE writer LOGIN PASSWORD '{PASSWORD}'; GRANT pg_read_all_data, pg_write_all_data TO writer"
            ));
            production
        })
    }

    /// An empty server that pods of the cluster reach, and this machine at the same address.
    pub fn start(cluster: &Cluster, name: &str) -> Production {
        let server =
            Server::start_with(name, None, "listen_addresses = '*'\nmax_connections = 400");
        let mut file = OpenOptions::new()
            .append(true)
            .open(server.data().join("pg_hba.conf"))
            .expect("open pg_hba.conf");
        writeln!(file, "host all all 10.0.0.0/8 scram-sha-256").expect("write pg_hba.conf");
        server.connect("postgres").must("SELECT pg_reload_conf()");
        let host = cluster.host();
        Production { server, host }
    }

    /// A database with what `sql` makes.
    pub fn database(&'static self, sql: &str) -> Database {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("shop_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.server.create_template(&name, sql);
        Database {
            production: self,
            name,
        }
    }

    /// A role's address, for this machine and for pods.
    pub fn address(&self, user: &str, database: &str) -> Address {
        Address {
            host: self.host.clone(),
            ..self.server.tcp(user, database)
        }
    }
}

impl Database {
    /// The URL of a role.
    pub fn url(&self, user: &str) -> String {
        self.production.address(user, &self.name).url()
    }

    /// A superuser's session.
    pub fn connect(&self) -> Session {
        self.production.server.connect(&self.name)
    }

    /// All that it holds; see [`digest`]. Not the server's roles: other tests make some of their own meanwhile.
    pub fn digest(&self) -> Vec<String> {
        let mut all = digest(&self.production.server.admin(&self.name));
        all.retain(|line| !line.starts_with("role "));
        all
    }
}
