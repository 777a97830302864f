//! Which database a read runs on.
