//! Sessions against a PostgreSQL server: what a client hears through the proxy is, byte for byte, what it hears from a full copy.

mod frames;
mod held;
mod live;
mod machine;
mod shapes;
mod support;
mod tls;
