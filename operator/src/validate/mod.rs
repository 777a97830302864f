//! The raw spec and what it refers to → a valid preview, or a list of what's wrong. Pure.
