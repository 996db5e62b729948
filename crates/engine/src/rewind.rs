//! Rewinding a failed instance together with its failed sub-orchestrations.
//!
//! What has to change is planned from what the store says, without locks, and then applied in one step if everything
//! still stands as it was seen; otherwise it is planned anew.

use std::collections::VecDeque;

use everdure_core::{
    Backend, BackendError, BackendResult, DispatchId, FailureDetails, HistoryTurn, InstanceId, InstanceRecord,
    MessageBody, Observed, OpenChild, OrchestrationStatus, Rewinding, RuntimeState,
};

/// Plans until one fits; more would mean that others change these instances all the time.
const ATTEMPTS: u32 = 10;

/// What became of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RewindOutcome {
    /// So many instances go on: the one that was named, and failed ones below it.
    Rewound(usize),
    /// There is no such instance.
    NotFound,
    /// Only what has failed is rewound.
    NotFailed(OrchestrationStatus),
}

/// Takes the failure of an instance back: it goes on from the turn before, failed activities run again, failed
/// sub-orchestrations are rewound with it, purged ones are created again.
///
/// # Errors
/// [`BackendError::Corrupt`] when a history cannot be folded, [`BackendError::Unavailable`] when the store does not
/// answer.
pub async fn rewind(backend: &dyn Backend, id: &InstanceId, reason: Option<&str>) -> BackendResult<RewindOutcome> {
    for _ in 0..ATTEMPTS {
        let Some((record, history)) = backend.get_history(id.clone(), None).await? else {
            return Ok(RewindOutcome::NotFound);
        };
        if record.status != OrchestrationStatus::Failed {
            return Ok(RewindOutcome::NotFailed(record.status));
        }
        let plan = Plan::of(backend, record, history, reason).await?;
        let instances = plan.items.len();
        if backend.rewind_instances(plan.items, plan.observed).await? {
            return Ok(RewindOutcome::Rewound(instances));
        }
    }
    Err(BackendError::unavailable(format!(
        "instance '{id}' or one below it changed each time it was to be rewound: try again"
    )))
}

#[derive(Default)]
struct Plan {
    /// Parents before their children.
    items: Vec<Rewinding>,
    observed: Vec<Observed>,
}

impl Plan {
    async fn of(
        backend: &dyn Backend,
        record: InstanceRecord,
        history: Vec<HistoryTurn>,
        reason: Option<&str>,
    ) -> BackendResult<Self> {
        let mut plan = Self::default();
        let mut waiting = VecDeque::from([(record, history)]);
        while let Some((record, history)) = waiting.pop_front() {
            let (mut item, children) = planned(backend, &record, &history, reason)?;
            for child in children {
                match backend.get_history(child.instance_id.clone(), None).await? {
                    None => item.children.push(child.again),
                    Some((found, _)) if found.parent_instance_id.as_ref() != Some(&record.instance_id) => {
                        item.messages.push(taken(&child));
                    }
                    Some((found, turns)) if found.status == OrchestrationStatus::Failed => {
                        waiting.push_back((found, turns));
                    }
                    Some((found, _)) => {
                        let ended_at = found.status.is_terminal().then_some(found.turn);
                        plan.observed.push(Observed { key: found.key, ended_at });
                        item.messages.extend(answer(child.dispatch, found));
                    }
                }
            }
            plan.items.push(item);
        }
        Ok(plan)
    }
}

fn planned(
    backend: &dyn Backend,
    record: &InstanceRecord,
    history: &[HistoryTurn],
    reason: Option<&str>,
) -> BackendResult<(Rewinding, Vec<OpenChild>)> {
    let execution_turn = history.first().map_or(record.turn, |turn| turn.turn - 1);
    let fresh = RuntimeState::new(record.key, record.execution, execution_turn, record.started());
    everdure_core::rewind(fresh, history, reason.map(str::to_owned), backend.now())
        .map_err(|error| BackendError::corrupt(format!("the history of instance '{}'", record.instance_id), error))
}

/// What a sub-orchestration that has ended tells its parent; nothing while it lives.
pub(crate) fn answer(dispatch: DispatchId, found: InstanceRecord) -> Option<MessageBody> {
    let failure = match (found.status, found.failure) {
        (OrchestrationStatus::Completed, _) => {
            return Some(MessageBody::SubOrchestrationInstanceCompleted { dispatch, result: found.output });
        }
        (status, _) if !status.is_terminal() => return None,
        (_, Some(failure)) => failure,
        (_, None) => {
            let reason = found.output.as_deref().unwrap_or("no reason given");
            let message = format!("sub-orchestration '{}' was terminated: {reason}", found.name);
            FailureDetails::new("OrchestrationTerminated", message)
        }
    };
    Some(MessageBody::SubOrchestrationInstanceFailed { dispatch, failure })
}

fn taken(child: &OpenChild) -> MessageBody {
    let message = format!("the instance id '{}' is in use by an instance of somebody else", child.instance_id);
    let failure = FailureDetails::new("OrchestrationAlreadyExists", message);
    MessageBody::SubOrchestrationInstanceFailed { dispatch: child.dispatch, failure }
}
