//! One client's conversation.
