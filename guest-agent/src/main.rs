//! Diorama guest agent.
fn main() {}
