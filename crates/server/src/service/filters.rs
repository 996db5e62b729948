//! What a worker says that it takes. Every claim of its hub asks the store for these names, so that one which the store
//! cannot look for would stop all workers of the hub: it is refused at the door.

use everdure_proto::pb;
use tonic::Status;

/// Names and versions of one worker.
const MOST: usize = 10_000;
/// Bytes of them together.
const MOST_BYTES: usize = 1024 * 1024;

pub(super) fn check(filters: Option<&pb::WorkItemFilters>) -> Result<(), Status> {
    let Some(pb::WorkItemFilters { orchestrations, activities, entities }) = filters else { return Ok(()) };
    let versioned = orchestrations
        .iter()
        .map(|filter| (&filter.name, &filter.versions))
        .chain(activities.iter().map(|filter| (&filter.name, &filter.versions)));
    let texts = versioned.flat_map(|(name, versions)| std::iter::once(name).chain(versions));
    let (mut count, mut bytes) = (0, 0);
    for text in texts.chain(entities.iter().map(|filter| &filter.name)) {
        if text.contains('\0') {
            return Err(Status::invalid_argument(
                "a name or a version in the filters contains U+0000, so that nothing has it: remove it",
            ));
        }
        (count, bytes) = (count + 1, bytes + text.len());
    }
    if count > MOST || bytes > MOST_BYTES {
        return Err(Status::invalid_argument(format!(
            "the filters have {count} names and versions with {bytes} bytes, the limits are {MOST} and {MOST_BYTES}: \
             a worker without filters takes everything"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use everdure_proto::pb::{ActivityFilter, EntityFilter, OrchestrationFilter, WorkItemFilters};
    use tonic::Code;

    use super::check;

    fn named(name: &str, versions: &[&str]) -> [WorkItemFilters; 2] {
        let versions: Vec<_> = versions.iter().map(|version| (*version).to_owned()).collect();
        let orchestrations = vec![OrchestrationFilter { name: name.to_owned(), versions: versions.clone() }];
        let activities = vec![ActivityFilter { name: name.to_owned(), versions }];
        [
            WorkItemFilters { orchestrations, ..WorkItemFilters::default() },
            WorkItemFilters { activities, ..WorkItemFilters::default() },
        ]
    }

    fn refused(filters: &WorkItemFilters) -> bool {
        match check(Some(filters)) {
            Ok(()) => false,
            Err(status) => {
                assert_eq!(status.code(), Code::InvalidArgument);
                true
            }
        }
    }

    #[test]
    fn what_no_store_can_look_for_is_refused() {
        for (name, versions) in [("a\0b", &[][..]), ("a", &["1", "2\0"])] {
            assert!(named(name, versions).iter().all(refused));
        }
        let entities = vec![EntityFilter { name: "\0".to_owned() }];
        assert!(refused(&WorkItemFilters { entities, ..WorkItemFilters::default() }));
        assert!(!named("a", &["1", ""]).iter().any(refused) && check(None).is_ok());
    }

    #[test]
    fn too_many_or_too_long_names_are_refused() {
        let many = vec!["v"; 10_000];
        assert!(named("a", &many).iter().all(refused) && !named("a", &many[1..]).iter().any(refused));
        let long = "a".repeat(1024 * 1024);
        assert!(named(&long, &["1"]).iter().all(refused));
    }
}
