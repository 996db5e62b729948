//! What a connected worker takes.

use everdure_core::NameFilter;
use everdure_proto::pb;

/// The kinds of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Orchestration,
    Activity,
    Entity,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Orchestration, Self::Activity, Self::Entity];

    /// Its place in arrays.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// The names that one stream takes, by kind; nothing of a kind that has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WorkerFilter([Vec<NameFilter>; 3]);

impl WorkerFilter {
    /// The filters of a request. A worker that sends none takes everything; entities only if it can know them.
    pub fn new(filters: Option<pb::WorkItemFilters>, knows_entities: bool) -> Self {
        let any = |name: &str| vec![NameFilter { name: name.to_owned(), version: None }];
        let Some(filters) = filters else {
            let entities = if knows_entities { any(NameFilter::ANY_ENTITY) } else { Vec::new() };
            return Self([any(NameFilter::ANY), any(NameFilter::ANY), entities]);
        };
        let orchestrations =
            filters.orchestrations.into_iter().flat_map(|filter| versions(filter.name, filter.versions));
        let activities = filters.activities.into_iter().flat_map(|filter| versions(filter.name, filter.versions));
        let entities = filters
            .entities
            .into_iter()
            .map(|filter| NameFilter { name: format!("@{}", filter.name.to_lowercase()), version: None });
        Self([orchestrations.collect(), activities.collect(), entities.collect()])
    }

    pub fn takes(&self, kind: Kind, name: &str, version: Option<&str>) -> bool {
        self.0[kind.index()].iter().any(|filter| filter.takes(name, version))
    }

    pub fn names(&self, kind: Kind) -> &[NameFilter] {
        &self.0[kind.index()]
    }
}

/// One filter for each version; without versions, one for all.
fn versions(name: String, versions: Vec<String>) -> Vec<NameFilter> {
    if versions.is_empty() {
        return vec![NameFilter { name, version: None }];
    }
    let filter = |version| NameFilter { name: name.clone(), version: Some(version) };
    versions.into_iter().map(filter).collect()
}

#[cfg(test)]
mod tests {
    use super::{Kind, WorkerFilter};
    use everdure_proto::pb;

    fn filter(names: &[(&str, &[&str])]) -> WorkerFilter {
        let orchestrations = names.iter().map(|(name, versions)| pb::OrchestrationFilter {
            name: (*name).to_owned(),
            versions: versions.iter().map(|version| (*version).to_owned()).collect(),
        });
        let filters =
            pb::WorkItemFilters { orchestrations: orchestrations.collect(), ..pb::WorkItemFilters::default() };
        WorkerFilter::new(Some(filters), true)
    }

    #[test]
    fn c40_names_and_versions() {
        let filter = filter(&[("any", &[]), ("strict", &["1", ""])]);
        let takes = |name, version| filter.takes(Kind::Orchestration, name, version);
        assert!(takes("any", None) && takes("any", Some("7")));
        assert!(takes("strict", Some("1")) && takes("strict", None) && !takes("strict", Some("2")));
        assert!(!takes("other", None));
    }

    #[test]
    fn c40_a_kind_without_filters_takes_nothing_of_it() {
        assert!(!filter(&[("any", &[])]).takes(Kind::Activity, "any", None));
        let everything = WorkerFilter::new(None, true);
        assert!(everything.takes(Kind::Activity, "a", Some("1")) && everything.takes(Kind::Entity, "@e", None));
        assert!(!everything.takes(Kind::Orchestration, "@e", None));
    }
}
