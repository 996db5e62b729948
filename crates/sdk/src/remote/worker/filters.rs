//! What a worker asks for: the names and versions of its functions.

use std::collections::BTreeMap;

use everdure_core::NameFilter;
use everdure_engine::Registry;
use everdure_proto::pb;

pub(super) fn filters(functions: &Registry) -> pb::WorkItemFilters {
    // Entities are among them, with an @.
    let (entities, orchestrations): (Vec<_>, Vec<_>) =
        functions.orchestration_names().cloned().partition(|filter| filter.name.starts_with('@'));
    let entities = entities.into_iter().map(|filter| pb::EntityFilter { name: filter.name[1..].to_owned() });
    let orchestrations =
        by_name(orchestrations).into_iter().map(|(name, versions)| pb::OrchestrationFilter { name, versions });
    let activities = by_name(functions.activity_names().cloned().collect());
    let activities = activities.into_iter().map(|(name, versions)| pb::ActivityFilter { name, versions });
    pb::WorkItemFilters {
        orchestrations: orchestrations.collect(),
        activities: activities.collect(),
        entities: entities.collect(),
    }
}

/// The versions of each name; none when one of its functions takes every version.
fn by_name(names: Vec<NameFilter>) -> BTreeMap<String, Vec<String>> {
    let mut versions: BTreeMap<String, Option<Vec<String>>> = BTreeMap::new();
    for NameFilter { name, version } in names {
        let known = versions.entry(name).or_insert_with(|| Some(Vec::new()));
        match (known.as_mut(), version) {
            (Some(known), Some(version)) => known.push(version),
            (Some(_), None) => *known = None,
            (None, _) => {}
        }
    }
    versions.into_iter().map(|(name, versions)| (name, versions.unwrap_or_default())).collect()
}

#[cfg(test)]
mod tests {
    use super::{NameFilter, by_name};

    #[test]
    fn a_function_for_every_version_lifts_the_filter() {
        let name = |name: &str, version: Option<&str>| NameFilter {
            name: name.to_owned(),
            version: version.map(str::to_owned),
        };
        let names = vec![name("a", None), name("a", Some("1")), name("b", Some("1")), name("b", Some("2"))];
        let filters = by_name(names);
        assert!(filters["a"].is_empty());
        assert_eq!(filters["b"], ["1", "2"]);
    }
}
