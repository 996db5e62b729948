//! What an orchestration knows of the entities that it called and locked.
//!
//! Answers carry the id of the request or of the critical section. A lock that nobody waits for any more is given back when it
//! comes, not before: a release that overtook the request on its way from entity to entity would leave the last one locked.

use std::collections::HashMap;
use std::task::Waker;

use everdure_core::{ActionKind, EventData, FailureDetails, HistoryEvent, InstanceId};

use super::inner::{Answer, Inner, Shared, SlotKind};

#[derive(Default)]
pub(crate) struct EntitySteps {
    /// Steps that wait, by the id of their request or critical section.
    requests: HashMap<String, i32>,
    sections: Vec<Section>,
}

#[derive(Clone)]
struct Section {
    step: i32,
    name: String,
    entities: Vec<InstanceId>,
    granted: bool,
    /// Given up before it was granted.
    abandoned: bool,
}

/// A rule of critical sections was broken.
fn broken(what: impl Into<String>) -> FailureDetails {
    FailureDetails::new("CriticalSection", what).non_retriable()
}

impl Shared {
    /// A GUID for the next decision: the same in replay.
    fn step_guid(&self, inner: &Inner) -> String {
        self.started.execution_id.derive(&format!("entity:{}", inner.next_action())).to_string()
    }

    /// Calls an entity, if the critical section allows it.
    pub(crate) fn call_entity(
        &self,
        target: &InstanceId,
        operation: &str,
        input: Option<String>,
    ) -> Result<i32, FailureDetails> {
        let mut inner = self.lock();
        if let Some(section) = inner.entities.inside()
            && !section.entities.contains(target)
        {
            return Err(broken(format!("'{target}' is not locked: in a critical section, call only what it locks")));
        }
        let request_id = self.step_guid(&inner);
        let id = inner.push(ActionKind::CallEntity {
            request_id: request_id.clone(),
            target: target.clone(),
            operation: operation.to_owned(),
            input,
            not_before: None,
            trace: None,
        });
        inner.open(id, SlotKind::Operation, None);
        inner.entities.requests.insert(request_id, id);
        Ok(id)
    }

    /// Signals an entity, if the critical section allows it.
    pub(crate) fn signal_entity(
        &self,
        target: &InstanceId,
        operation: &str,
        input: Option<String>,
    ) -> Result<i32, FailureDetails> {
        let mut inner = self.lock();
        if inner.entities.inside().is_some_and(|section| section.entities.contains(target)) {
            return Err(broken(format!("'{target}' is locked: call it, or signal it after the critical section")));
        }
        let request_id = self.step_guid(&inner);
        Ok(inner.push(ActionKind::SignalEntity {
            request_id,
            target: target.clone(),
            operation: operation.to_owned(),
            input,
            not_before: None,
            trace: None,
        }))
    }

    /// Asks for locks, in an order that is the same for everybody. Gives the step.
    pub(crate) fn lock_entities(&self, mut entities: Vec<InstanceId>) -> Result<i32, FailureDetails> {
        entities.sort();
        entities.dedup();
        if entities.is_empty() {
            return Err(broken("there is nothing to lock: name at least one entity"));
        }
        if let Some(id) = entities.iter().find(|id| id.entity_parts().is_none()) {
            return Err(broken(format!("'{id}' is no entity: only entities can be locked")));
        }
        let mut inner = self.lock();
        if inner.entities.sections.iter().any(|section| !section.abandoned) {
            return Err(broken(
                "this orchestration has locks, or waits for some: release them before it asks for others",
            ));
        }
        let name = self.step_guid(&inner);
        let id = inner.push(ActionKind::LockEntities { critical_section: name.clone(), lock_set: entities.clone() });
        inner.open(id, SlotKind::Lock, None);
        inner.entities.requests.insert(name.clone(), id);
        inner.entities.sections.push(Section { step: id, name, entities, granted: false, abandoned: false });
        Ok(id)
    }

    /// Whether a sub-orchestration may be called now.
    pub(crate) fn check_sub_orchestration(&self) -> Result<(), FailureDetails> {
        match self.lock().entities.inside() {
            Some(_) => {
                Err(broken("in a critical section no sub-orchestration may be called: it could wait for these locks"))
            }
            None => Ok(()),
        }
    }

    /// Ends the critical section that began with that step.
    pub(crate) fn release(&self, step: i32) {
        self.lock().release(step);
    }

    /// Answers name a request as it was recorded, and so do releases: in what was forked or rewound, by another execution.
    pub(super) fn note_request(&self, recorded: &HistoryEvent) {
        let request = match &recorded.data {
            EventData::EntityOperationCalled { request_id, .. } => request_id,
            EventData::EntityLockRequested { critical_section, .. } => critical_section,
            _ => return,
        };
        let mut inner = self.lock();
        let EntitySteps { requests, sections } = &mut inner.entities;
        if let Some(section) = sections.iter_mut().find(|section| section.step == recorded.event_id) {
            section.name.clone_from(request);
        }
        if !requests.contains_key(request) && requests.values().any(|step| *step == recorded.event_id) {
            requests.insert(request.clone(), recorded.event_id);
        }
    }
}

impl Inner {
    pub(super) fn answer_request(&mut self, request: &str, answer: Answer) -> Option<Waker> {
        let id = self.entities.requests.remove(request)?;
        self.answer(id, answer)
    }

    pub(super) fn lock_granted(&mut self, name: &str) -> Option<Waker> {
        let step = self.entities.requests.remove(name)?;
        let section = self.entities.sections.iter_mut().find(|section| section.step == step)?;
        section.granted = true;
        if section.abandoned {
            self.release(step);
            return None;
        }
        self.answer(step, Ok(None))
    }

    /// Gives the locks back. Those that are not granted yet at once, so that nobody waits for what is locked of them
    /// already, and once more when they are: the request may be on its way to the next entity.
    pub(super) fn release(&mut self, step: i32) {
        let Some(at) = self.entities.sections.iter().position(|section| section.step == step) else { return };
        let section = if self.entities.sections[at].granted {
            self.entities.sections.remove(at)
        } else {
            let section = &mut self.entities.sections[at];
            if std::mem::replace(&mut section.abandoned, true) {
                return;
            }
            section.clone()
        };
        for target in section.entities {
            self.push(ActionKind::UnlockEntity { critical_section: section.name.clone(), target });
        }
    }
}

impl EntitySteps {
    /// The critical section in which the orchestration is.
    fn inside(&self) -> Option<&Section> {
        self.sections.iter().find(|section| section.granted && !section.abandoned)
    }
}
