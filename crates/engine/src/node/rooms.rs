//! Who has room for what, so that a node takes no more of anything than its workers have places for.
//!
//! What it takes beyond that waits here, while workers of another node may be idle.

use std::collections::BTreeMap;

use everdure_core::NameFilter;

use crate::Places;

/// The rooms of several names, each asked for once and filled one after the other.
pub(super) struct Rooms<'a, F> {
    room: F,
    known: BTreeMap<(&'a str, Option<&'a str>), usize>,
}

impl<'a, F: Fn(&str, Option<&str>) -> usize> Rooms<'a, F> {
    pub fn new(room: F) -> Self {
        Self { room, known: BTreeMap::new() }
    }

    /// Takes a place for one more; `false` when there is none.
    pub fn take(&mut self, name: &'a str, version: Option<&'a str>) -> bool {
        let room = self.known.entry((name, version)).or_insert_with(|| (self.room)(name, version));
        let has_room = *room > 0;
        *room = room.saturating_sub(1);
        has_room
    }
}

/// What to ask the store for, question by question.
///
/// At first all names together, and no more than the scarcest place allows: mostly less than that is due, and one
/// question is enough. Where as much as allowed came, all of it may be of one name, and others have to be asked for by
/// themselves, or what is due of one name would keep workers of another idle.
pub(super) struct Questions {
    /// The scarcest first.
    places: Vec<Places>,
    apart: bool,
}

impl Questions {
    pub fn new(mut places: Vec<Places>) -> Self {
        places.sort_by_key(|places| places.free);
        Self { places, apart: false }
    }

    /// The names of the next question, and how many may come; nothing when all have been asked for.
    pub fn next(&self) -> Option<(Vec<NameFilter>, usize)> {
        let scarcest = self.places.first()?;
        let asked = if self.apart { &self.places[..1] } else { &self.places[..] };
        let mut names: Vec<_> = asked.iter().flat_map(|places| &places.names).cloned().collect();
        names.sort_unstable();
        names.dedup();
        Some((names, scarcest.free))
    }

    /// Takes the places of what came, at most `limit`.
    pub fn answered<'a>(&mut self, limit: usize, came: impl Iterator<Item = (&'a str, Option<&'a str>)>) {
        let mut count = 0;
        for (name, version) in came {
            count += 1;
            let takes = |places: &&mut Places| places.names.iter().any(|filter| filter.takes(name, version));
            if let Some(places) = self.places.iter_mut().filter(takes).max_by_key(|places| places.free) {
                places.free = places.free.saturating_sub(1);
            }
        }
        let asked = self.places.len();
        if self.apart {
            self.places.remove(0);
        } else if count < limit || asked == 1 {
            self.places.clear();
        }
        self.places.retain(|places| places.free > 0);
        self.places.sort_by_key(|places| places.free);
        self.apart |= self.places.len() == asked;
    }
}

#[cfg(test)]
mod tests {
    use super::{NameFilter, Places, Questions, Rooms};

    fn places(names: &[&str], free: usize) -> Places {
        let names = names.iter().map(|name| NameFilter { name: (*name).to_owned(), version: None });
        Places { names: names.collect(), free }
    }

    fn next(questions: &Questions) -> Option<(Vec<String>, usize)> {
        let (names, limit) = questions.next()?;
        Some((names.into_iter().map(|filter| filter.name).collect(), limit))
    }

    fn asks(questions: &Questions, names: &[&str], limit: usize) {
        assert_eq!(next(questions), Some((names.iter().map(|name| (*name).to_owned()).collect(), limit)));
    }

    fn answer(questions: &mut Questions, limit: usize, came: &[&str]) {
        questions.answered(limit, came.iter().map(|name| (*name, None)));
    }

    #[test]
    fn a_place_is_taken_once() {
        let mut rooms = Rooms::new(|name, _| if name == "a" { 2 } else { 0 });
        assert!(rooms.take("a", None) && rooms.take("a", None) && !rooms.take("a", None));
        assert!(rooms.take("a", Some("1")) && !rooms.take("b", None));
    }

    #[test]
    fn one_question_is_enough_for_little() {
        let mut questions = Questions::new(vec![places(&["b", "c"], 100), places(&["a", "b"], 10)]);
        asks(&questions, &["a", "b", "c"], 10);
        answer(&mut questions, 10, &["a", "c", "c"]);
        assert_eq!(next(&questions), None);
    }

    #[test]
    fn one_kind_of_worker_is_asked_for_once() {
        let mut questions = Questions::new(vec![places(&["a"], 2)]);
        answer(&mut questions, 2, &["a", "a"]);
        assert_eq!(next(&questions), None);
    }

    #[test]
    fn what_has_no_place_any_more_is_left_out() {
        let mut questions = Questions::new(vec![places(&["*"], 1), places(&["@*"], 100)]);
        asks(&questions, &["*", "@*"], 1);
        answer(&mut questions, 1, &["orch"]);
        asks(&questions, &["@*"], 100);
        answer(&mut questions, 100, &["@e"; 100]);
        assert_eq!(next(&questions), None);
    }

    #[test]
    fn much_of_one_name_does_not_hide_another() {
        let mut questions = Questions::new(vec![places(&["rare"], 1), places(&["much"], 100)]);
        answer(&mut questions, 1, &["much"]);
        asks(&questions, &["rare"], 1);
        answer(&mut questions, 1, &["rare"]);
        asks(&questions, &["much"], 99);
        answer(&mut questions, 99, &["much"; 99]);
        assert_eq!(next(&questions), None);
    }
}
