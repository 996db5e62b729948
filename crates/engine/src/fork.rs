//! Forking an instance: export, cut, import.

use everdure_core::{
    AwaitedChild, Backend, BackendError, BackendResult, Fork, ImportOutcome, InstanceId, MessageBody,
    OrchestrationStatus,
};

use crate::rewind;

/// What became of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForkOutcome {
    /// The fork is there, and goes on.
    Forked,
    /// There is no such instance.
    NotFound,
    /// An instance has the id that the fork was to have.
    AlreadyExists(OrchestrationStatus),
}

/// Makes a fork of an instance, whatever its state; the source is left alone.
///
/// # Errors
/// [`BackendError::Invalid`] when it has no such turn, or waits there for a sub-orchestration that has not ended or was
/// purged: its answer cannot be given to the fork.
pub async fn fork(backend: &dyn Backend, id: &InstanceId, fork: Fork) -> BackendResult<ForkOutcome> {
    let Some(source) = backend.export_instances(vec![id.clone()]).await?.pop() else {
        return Ok(ForkOutcome::NotFound);
    };
    let now = backend.now();
    let (mut forked, children) = source.fork(fork, now)?;
    for child in children {
        forked.answer(answer(backend, &child).await?, now);
    }
    Ok(match backend.import_instance(forked).await? {
        ImportOutcome::Imported { .. } => ForkOutcome::Forked,
        ImportOutcome::AlreadyExists(status) => ForkOutcome::AlreadyExists(status),
    })
}

async fn answer(backend: &dyn Backend, child: &AwaitedChild) -> BackendResult<MessageBody> {
    let id = &child.instance_id;
    let lacks =
        |why: String| BackendError::invalid(format!("at that turn it waits for sub-orchestration '{id}', which {why}"));
    let Some(found) = backend.get_instances(vec![id.clone()], true).await?.pop() else {
        return Err(lacks("was purged: choose a turn before or after".into()));
    };
    let status = found.status;
    rewind::answer(child.dispatch, found)
        .ok_or_else(|| lacks(format!("is {status}: wait for its end, or choose a turn before or after")))
}
