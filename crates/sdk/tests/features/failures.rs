//! Failure details.

use everdure::{Activity, ActivityContext, Failure, Orchestration, OrchestrationContext};

use crate::support::{functions, in_all_modes};

const PARSE: Activity<String, u32> = Activity::new("parse");
const CALLER: Orchestration<String, u32> = Orchestration::new("caller");
const NOWHERE: Activity<String, u32> = Activity::new("panics");

#[derive(Debug, thiserror::Error)]
#[error("line 7 is not a number")]
struct BadLine(#[source] std::num::ParseIntError);

#[tokio::test(start_paused = true)]
async fn the_chain_of_causes_reaches_the_client() {
    let functions = functions()
        .activity(PARSE, async |_: ActivityContext, text: String| text.parse::<u32>().map_err(BadLine))
        .orchestration(CALLER, async |ctx: OrchestrationContext, text: String| {
            Ok::<_, Failure>(ctx.call_activity(&PARSE, text).await?)
        });
    in_all_modes(functions, async |hub, _| {
        hub.run(&CALLER, "7".to_owned()).await.assert_completed(&7);
        let run = hub.run(&CALLER, "seven".to_owned()).await;
        let causes: Vec<_> = run.failure().chain().map(|cause| cause.error_message.as_str()).collect();
        let expected = [
            "activity 'parse' failed: line 7 is not a number",
            "line 7 is not a number",
            "invalid digit found in string",
        ];
        assert_eq!(causes, expected);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure_like_any_other() {
    async fn panics(_: ActivityContext, text: String) -> everdure::Result<u32> {
        panic!("cannot go on with {text}")
    }
    let functions =
        functions().activity(NOWHERE, panics).orchestration(CALLER, async |ctx: OrchestrationContext, text: String| {
            match ctx.call_activity(&NOWHERE, text).await {
                Err(error) if error.details().error_type == "Panic" => Ok::<_, Failure>(1),
                _ => Ok(0),
            }
        });
    in_all_modes(functions, async |hub, _| {
        hub.run(&CALLER, "this".to_owned()).await.assert_completed(&1);
    })
    .await;
}
