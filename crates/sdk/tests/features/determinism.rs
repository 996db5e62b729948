//! Code that decides something else in replay is found, and told with both sides.

use std::io::Write;
use std::sync::{Arc, Mutex};

use everdure::testing::{Mode, TestHub};
use everdure::{Activity, ActivityContext, Failure, Orchestration, OrchestrationContext};

use crate::entities::{DEPOSIT, account, bank};
use crate::support::{Counter, INC, functions};
use crate::wire;

const OTHER: Activity<u32, u32> = Activity::new("other");
const FICKLE: Orchestration<(), u32> = Orchestration::new("fickle");

#[tokio::test(start_paused = true)]
async fn code_that_changes_its_mind_fails_with_both_sides_in_words() {
    for mode in [Some(Mode::FullReplay), Some(Mode::CrashAfterEachStep), None] {
        let begun = Counter::default();
        let functions = functions()
            .activity(OTHER, async |_: ActivityContext, number: u32| Ok::<_, Failure>(number))
            .orchestration(FICKLE, move |ctx: OrchestrationContext, (): ()| {
                let first = begun.next() == 0;
                async move {
                    let call = if first { ctx.call_activity(&INC, 1) } else { ctx.call_activity(&OTHER, 1) };
                    Ok::<_, Failure>(call.await?)
                }
            });
        let hub = match mode {
            Some(mode) => TestHub::in_mode(mode, functions).await,
            None => wire::hub(functions, false).await,
        };
        let run = hub.run(&FICKLE, ()).await;
        let failure = run.failure();
        assert_eq!(failure.error_type, "NonDeterministicOrchestration");
        for side in ["history has call of activity 'inc'", "now decides call of activity 'other'"] {
            assert!(failure.error_message.contains(side), "{failure}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn code_that_turns_to_another_entity_in_replay_is_told() {
    const FICKLE: Orchestration<(), i64> = Orchestration::new("fickle");
    for mode in [Mode::FullReplay, Mode::CrashAfterEachStep] {
        let begun = Counter::default();
        let functions = bank().orchestration(FICKLE, move |ctx: OrchestrationContext, (): ()| {
            let key = if begun.next() == 0 { "Ada" } else { "Grace" };
            async move { Ok::<_, Failure>(ctx.call_entity(&account(key), &DEPOSIT, 1).await?) }
        });
        let hub = TestHub::in_mode(mode, functions).await;
        let run = hub.run(&FICKLE, ()).await;
        assert_eq!(run.failure().error_type, "NonDeterministicOrchestration");
        let told = &run.failure().error_message;
        for side in
            ["history has call of 'deposit' of '@account@Ada'", "now decides call of 'deposit' of '@account@Grace'"]
        {
            assert!(told.contains(side), "{told}");
        }
    }
}

/// What the code under test logs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panics with the lock").extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn take(&self) -> String {
        let bytes = std::mem::take(&mut *self.0.lock().expect("nobody panics with the lock"));
        String::from_utf8(bytes).expect("text")
    }
}

/// Logs when the code comes to its end, and must not when the code is only put away.
struct Goodbye(OrchestrationContext);

impl Drop for Goodbye {
    fn drop(&mut self) {
        self.0.log("before step 4, which is the end");
    }
}

#[tokio::test(start_paused = true)]
async fn a_line_is_logged_once_however_often_the_code_is_replayed() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    // The workers of a test run on its own thread.
    let _captured = tracing::subscriber::set_default(subscriber);
    let functions = functions().orchestration(FICKLE, async |ctx: OrchestrationContext, (): ()| {
        let _goodbye = Goodbye(ctx.clone());
        for step in 0..4 {
            ctx.log(format_args!("before step {step}"));
            ctx.call_activity(&INC, step).await?;
        }
        Ok::<_, Failure>(4)
    });
    for mode in [Some(Mode::Live), Some(Mode::FullReplay), Some(Mode::CrashAfterEachStep), None] {
        let hub = match mode {
            Some(mode) => TestHub::in_mode(mode, functions.clone()).await,
            None => wire::hub(functions.clone(), false).await,
        };
        let run = hub.run(&FICKLE, ()).await;
        run.assert_completed(&4);
        let written = log.take();
        let lines: Vec<_> = written.lines().filter(|line| line.contains("before step")).collect();
        assert_eq!(lines.len(), 5, "{mode:?}: {written}");
        let id = run.history().record().instance_id.to_string();
        for (step, line) in lines.iter().enumerate() {
            assert!(line.contains(&format!("before step {step}")) && line.contains(&id), "{mode:?}: {line}");
        }
    }
}
