//! The in-memory backend keeps every promise.

use std::sync::Arc;

use everdure_core::Backend;
use everdure_engine::InMemoryBackend;
use everdure_testkit::conformance;

#[tokio::test]
async fn the_in_memory_backend_conforms() {
    conformance::run(|_hub| async { Arc::new(InMemoryBackend::default()) as Arc<dyn Backend> }).await;
}
