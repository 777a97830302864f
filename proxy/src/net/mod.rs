//! Sockets, TLS, listening, draining.
