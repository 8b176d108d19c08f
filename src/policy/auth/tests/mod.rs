//! The verifier against forged, broken, stale and good proofs.

mod attacks;
mod certificates;
pub(crate) mod forge;
mod good;
mod keys;
mod lifetimes;
mod resources;
mod vectors;
