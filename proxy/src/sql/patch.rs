//! Replacing spans of a text.
