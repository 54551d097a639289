//! Parts of the Workers in wasm, for `cargo xtask bench` to measure: the same code, in the same runtime,
//! without the rest. `bench/wasm.mjs` calls it.
//!
//! Plain exports without glue: all that crosses is a count, so nothing but the work is measured.

#![expect(unsafe_code, reason = "an export without glue has a fixed name")]

mod es256;
mod view;
