//! Several sessions.
