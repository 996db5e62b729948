//! The conditions of a query as the JSON that the functions take; what does not restrict is left out.

use everdure_core::{BackendResult, CustomStatusIs, InstanceQuery, Tags, Timestamp};
use serde::Serialize;

use crate::committer::json_text;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Filter<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    statuses: Vec<i16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_from: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_to: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_from: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_to: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_from: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_to: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_prefix: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_contains: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    roots_only: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'a Tags>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_status: Option<(&'a [String], &'a str)>,
}

pub(crate) fn text(query: &InstanceQuery) -> BackendResult<String> {
    json_text(&Filter {
        statuses: query.statuses.iter().map(|status| status.code()).collect(),
        created_from: query.created_from,
        created_to: query.created_to,
        completed_from: query.completed_from,
        completed_to: query.completed_to,
        updated_from: query.updated_from,
        updated_to: query.updated_to,
        id_prefix: query.id_prefix.as_deref(),
        id_contains: query.id_contains.as_deref(),
        name: query.name.as_deref(),
        version: query.version.as_deref(),
        parent: query.parent.as_ref().map(|parent| parent.as_str()),
        roots_only: query.roots_only,
        failure_type: query.failure_type.as_deref(),
        tags: Some(&query.tags).filter(|tags| !tags.is_empty()),
        custom_status: query.custom_status.as_ref().map(|CustomStatusIs { path, text }| (&path[..], text.as_str())),
    })
}
