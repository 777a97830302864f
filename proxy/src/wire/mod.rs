//! Bytes ↔ frames. Knows no SQL and no databases.
