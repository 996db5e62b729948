//! One list of cases for every backend. A case gets an empty task hub of its own and panics when a promise of
//! [`everdure_core::Backend`] does not hold. Numbers such as `bug_07` are those of the catalogue of concurrency
//! bugs of the Durable Task family in `docs/reliability.md`.

mod activities;
mod checkpoints;
mod children;
mod entities;
mod export;
#[allow(missing_docs)] // short names that say what they do; for tests only
pub mod fixture;
mod instances;
mod locks;
mod messages;
mod nodes;
mod poison;
mod programs;
mod queries;
mod races;
mod rewind;
mod runtime;
mod settings;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use everdure_core::Backend;
use futures::FutureExt;

type Run = fn(Arc<dyn Backend>) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// One promise, tested.
pub struct Case {
    /// What is promised.
    pub name: &'static str,
    run: Run,
}

macro_rules! cases {
    ($($module:ident: $($name:ident),+ $(,)?;)+) => {
        /// All cases.
        pub const CASES: &[Case] = &[$($(
            Case {
                name: concat!(stringify!($module), "::", stringify!($name)),
                run: |backend| Box::pin($module::$name(backend)),
            },
        )+)+];
    };
}

cases! {
    instances:
        a_new_instance_is_pending_and_readable,
        a_live_instance_is_never_replaced,
        ids_differ_by_case,
        a_finished_instance_is_replaced_under_a_new_key,
        a_finished_instance_is_kept_when_reuse_is_never,
        bug_12_many_creations_of_few_ids_make_exactly_those,
        bug_23_a_creation_sent_twice_happens_once,
        a_scheduled_instance_is_not_due_before_its_time;
    checkpoints:
        a_claimed_instance_comes_with_what_was_stored,
        bug_04_one_instance_is_claimed_by_one_node,
        only_names_that_a_worker_takes_are_claimed,
        bug_27_only_versions_that_a_worker_takes_are_claimed,
        a_checkpoint_lands_once,
        bug_01_a_stale_checkpoint_across_continue_as_new_is_lost,
        bug_02_a_stale_checkpoint_after_purge_and_creation_is_lost,
        born_claimed_instances_are_not_offered_to_others,
        a_finished_instance_is_released,
        bug_06_a_timer_is_not_delivered_before_it_is_due,
        a_checkpoint_that_takes_a_timer_too_early_is_refused,
        a_cancelled_timer_never_comes,
        bug_08_continue_as_new_keeps_external_events_and_drops_old_timers,
        carried_events_come_before_those_that_wait,
        a_demoted_instance_is_due_again_with_its_results,
        activities_go_on_running_when_their_instance_is_demoted,
        a_backing_off_instance_is_not_offered_at_once;
    messages:
        an_event_wakes_a_waiting_instance,
        events_keep_their_order,
        a_batch_of_messages_keeps_its_order,
        bug_25_numbers_of_one_instance_rise_in_commit_order,
        bug_26_a_turn_takes_a_bounded_number_and_the_rest_waits,
        bug_17_an_event_to_a_scheduled_instance_waits_for_its_start,
        an_event_to_a_finished_instance_is_dropped,
        bug_18_an_event_to_no_instance_is_not_found,
        bug_23_an_event_sent_twice_arrives_once,
        mail_of_a_held_instance_reaches_its_holder,
        terminating_a_pending_instance_ends_it_directly,
        a_message_that_was_not_there_spoils_the_checkpoint;
    children:
        a_child_tells_its_parent,
        bug_15_a_child_whose_id_is_live_fails_the_call,
        bug_15_a_child_whose_id_is_finished_replaces_it,
        bug_16_terminating_a_pending_child_tells_its_parent,
        terminating_reaches_all_below_without_a_worker,
        terminating_tells_those_below_that_are_held,
        terminating_reaches_below_what_has_ended,
        terminating_spares_who_took_a_childs_id,
        purging_reaches_all_below_when_asked_to,
        purging_by_state_reaches_what_has_ended_below,
        bug_20_an_event_between_instances_survives_continue_as_new;
    activities:
        an_activity_row_is_claimed_once_and_completed_once,
        bug_07_a_result_for_a_finished_instance_goes_nowhere,
        bug_07_late_results_count_only_where_they_are_awaited,
        an_abandoned_activity_comes_again_later,
        a_cancelled_activity_is_gone,
        a_claim_lists_the_activities_that_have_rows,
        bug_11_a_claim_knows_the_results_that_it_does_not_bring;
    entities:
        c78_a_signal_makes_the_entity_and_order_holds,
        c81_a_delayed_signal_is_not_early,
        an_event_does_not_reach_an_entity,
        bug_23_a_signal_sent_twice_counts_once,
        c79_a_call_is_answered_or_fails,
        c87_what_a_batch_did_not_run_stays_first,
        c82_an_entity_signals_and_starts,
        bug_02_a_stale_batch_is_lost,
        c84_others_wait_while_the_owner_works,
        c83_locks_are_given_in_turn_and_never_cross,
        rule_13_a_granted_lock_without_an_owner_is_given_back,
        c83_ending_an_owner_directly_frees_its_entities,
        c85_an_entity_without_a_state_is_gone,
        clean_entities_releases_orphaned_locks,
        c86_entities_are_listed_page_by_page,
        bug_32_many_owners_take_the_same_locks_in_turn;
    locks:
        rule_13_a_request_without_an_owner_frees_its_whole_set,
        sets_are_taken_in_one_order_whatever_the_sdk_says,
        what_waits_behind_a_request_is_not_touched_by_it,
        only_an_idle_entity_is_purged,
        purging_an_entity_by_force_tells_who_waits;
    nodes:
        bug_03_a_reaped_node_writes_nothing,
        what_a_dead_node_held_is_due,
        a_removed_node_releases_what_it_held,
        a_renewed_node_is_not_reaped,
        get_node_tells_where_those_who_live_are_reached,
        release_unknown_frees_what_memory_does_not_know,
        release_unknown_activities_frees_what_memory_does_not_know;
    queries:
        pages_cover_everything_once_newest_first,
        filters_restrict_and_combine,
        each_condition_finds_what_it_says,
        count_instances_stops_at_the_cap,
        a_prefix_is_taken_literally,
        history_is_returned_turn_by_turn,
        a_history_is_read_in_parts,
        get_executions_returns_former_ones_where_the_hub_keeps_them,
        bug_30_purging_leaves_nothing_behind,
        a_live_instance_is_purged_only_by_force,
        purging_goes_in_bounded_steps;
    runtime:
        another_runtime_drives_whole_orchestrations;
    settings:
        get_hub_settings_returns_what_set_hub_setting_decided,
        purge_expired_removes_what_was_kept_long_enough;
    rewind:
        a_failed_activity_runs_again,
        what_failed_in_its_first_turn_begins_anew,
        only_what_has_failed_is_rewound,
        children_are_rewound_answered_awaited_or_created_again,
        a_call_whose_answer_was_lost_fails_and_no_other,
        a_wait_for_locks_goes_on_after_rewinding,
        a_rewinding_that_was_overtaken_changes_nothing;
    export:
        what_is_moved_goes_on,
        parents_and_children_find_each_other,
        what_has_ended_or_not_begun_is_moved_as_it_is,
        an_import_overwrites_nothing_and_takes_nothing_that_cannot_be,
        what_waits_for_an_entity_is_neither_moved_nor_forked,
        a_fork_takes_a_turn_anew_and_leaves_its_source_alone,
        a_fork_gets_the_answers_of_children_that_have_ended;
    poison:
        a_turn_that_fails_again_and_again_is_set_aside,
        what_will_not_get_better_is_set_aside_at_once,
        each_failed_attempt_waits_longer,
        a_crash_is_a_failed_attempt_of_what_was_held,
        a_poisoned_activity_may_be_failed;
    races:
        bug_05_an_instance_that_just_ended_is_not_claimed,
        bug_09_terminate_races_with_continue_as_new_and_the_end,
        bug_13_two_parents_create_one_child,
        bug_14_instances_that_signal_each_other_do_not_deadlock,
        bug_30_purging_races_with_everything,
        bug_33_extreme_times_and_sizes_are_answered;
}

/// Runs every case, each on what `open` gives it, and panics at the end with the names of all that failed.
pub async fn run<F, O>(open: O)
where
    O: Fn(String) -> F,
    F: Future<Output = Arc<dyn Backend>>,
{
    let mut failed = Vec::new();
    for (number, case) in CASES.iter().enumerate() {
        let backend = open(format!("case_{number}")).await;
        match AssertUnwindSafe((case.run)(backend)).catch_unwind().await {
            Ok(()) => println!("conformance {} ... ok", case.name),
            Err(_) => {
                println!("conformance {} ... FAILED", case.name);
                failed.push(case.name);
            }
        }
    }
    assert!(failed.is_empty(), "{} of {} cases failed: {failed:#?}", failed.len(), CASES.len());
}
