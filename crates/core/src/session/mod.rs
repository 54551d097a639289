//! Sessions, what ends them, and whether a credential is still good.

pub mod check;
