//! What the sync machine asks, of whom, and what it keeps.
