//! Who the client is, and how we log in at a database.
