//! Pages of instances: the conditions that the protocol has.

use everdure_core::{InstanceKey, InstanceQuery, Page, PageToken};
use everdure_proto::{convert, pb};

use super::connection::Connection;
use super::status::{general, unreadable};
use crate::client::ClientError;

/// The first condition that the protocol cannot say.
fn unsayable(query: &InstanceQuery) -> Option<&'static str> {
    let conditions = [
        (query.completed_from.is_some() || query.completed_to.is_some(), "asking for instances by their end"),
        (query.updated_from.is_some() || query.updated_to.is_some(), "asking for instances by their last change"),
        (query.id_contains.is_some(), "asking for instances by a part of their id (its beginning is)"),
        (query.name.is_some(), "asking for instances by name"),
        (query.version.is_some(), "asking for instances by version"),
        (query.parent.is_some() || query.roots_only, "asking for instances by their parent"),
        (query.failure_type.is_some(), "asking for instances by their failure"),
        (query.custom_status.is_some(), "asking for instances by their custom status"),
        (!query.tags.is_empty(), "asking for instances by tag"),
    ];
    conditions.into_iter().find(|(asked, _)| *asked).map(|(_, what)| what)
}

pub(super) async fn page(connection: &Connection, query: InstanceQuery) -> Result<Page, ClientError> {
    if let Some(what) = unsayable(&query) {
        return Err(ClientError::unsupported(what));
    }
    let wire = pb::InstanceQuery {
        runtime_status: query.statuses.iter().map(|status| convert::status_to_wire(*status).into()).collect(),
        created_time_from: query.created_from.map(convert::time_to_wire),
        created_time_to: query.created_to.map(convert::time_to_wire),
        task_hub_names: Vec::new(),
        max_instance_count: i32::try_from(query.page_size).unwrap_or(i32::MAX),
        continuation_token: query.after.map(|after| after.0.to_string()),
        instance_id_prefix: query.id_prefix,
        fetch_inputs_and_outputs: query.payloads,
    };
    let answered = connection.ask(|mut stub| {
        let request = connection.request(pb::QueryInstancesRequest { query: Some(wire.clone()) });
        async move { stub.query_instances(request).await }
    });
    let answer = answered.await.map_err(|status| general(connection.address(), status))?;
    read(answer).map_err(|unusable| unreadable(connection.address(), unusable))
}

fn read(answer: pb::QueryInstancesResponse) -> Result<Page, convert::Unusable> {
    let instances = answer.orchestration_state.into_iter().map(convert::record).collect::<Result<_, _>>()?;
    let place = |token: String| match token.parse() {
        Ok(number) => Ok(PageToken(InstanceKey(number))),
        Err(_) => Err(convert::Unusable(format!("'{token}' is no place in a list"))),
    };
    let next = answer.continuation_token.filter(|token| !token.is_empty()).map(place).transpose()?;
    Ok(Page { instances, next })
}
