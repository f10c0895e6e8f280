//! `kette net monitor`: a network on one screen. [`poller`] asks the nodes, [`model`] says what that means, [`view`]
//! draws it, [`keys`] says what a key does, [`verbs`] does it to the network, [`screen`] joins them.
//!
//! Model, view and keys are pure: the same samples and keys give the same screen.

pub mod keys;
pub mod lines;
pub mod model;
pub mod poller;
pub mod screen;
pub mod verbs;
pub mod view;
