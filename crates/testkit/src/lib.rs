//! What shows that a backend is one: the conformance suite that each of them runs.
//!
//! The suite speaks to [`everdure_core::Backend`] alone, so anybody who writes a backend can run it on theirs. It
//! tests outcomes, not ways: which SQL or which lock brings them about is the backend's affair.

pub mod conformance;
