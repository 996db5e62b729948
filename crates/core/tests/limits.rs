//! What is refused at the door, and how it is said.

use everdure_core::{DispatchId, ExecutionId, InstanceId, InvalidId, Limits, OrchestrationStatus, Tags, TooLarge};

#[test]
fn ids_that_nobody_could_see_or_store_are_refused() {
    assert_eq!(InstanceId::new(" \t"), Err(InvalidId::Empty));
    assert_eq!(InstanceId::new("a\0b"), Err(InvalidId::ControlCharacter(0)));
    assert_eq!(InstanceId::new("a\nb"), Err(InvalidId::ControlCharacter(10)));
    assert_eq!(InstanceId::new("Bestellung-Ä-😀").map(String::from).as_deref(), Ok("Bestellung-Ä-😀"));
}

#[test]
fn lengths_are_counted_in_characters_and_the_limit_itself_is_allowed() {
    let limits = Limits::default();
    let longest = InstanceId::new("ä".repeat(100)).expect("no control characters");
    assert_eq!(limits.check_instance_id(&longest), Ok(()));
    let longer = InstanceId::new("ä".repeat(101)).expect("no control characters");
    let error = limits.check_instance_id(&longer).expect_err("101 characters");
    assert!(error.to_string().contains("101 characters") && error.to_string().contains("100"), "{error}");
}

#[test]
fn payloads_are_measured_in_bytes_and_must_not_hold_nul() {
    let limits = Limits { payload_bytes: 4, ..Limits::default() };
    assert_eq!(limits.check_payload("the input", None), Ok(()));
    assert_eq!(limits.check_payload("the input", Some("ää")), Ok(()));
    assert!(matches!(limits.check_payload("the input", Some("ääa")), Err(TooLarge::Size { actual: 5, .. })));
    let nul = limits.check_payload("the input", Some("a\0")).expect_err("U+0000");
    assert!(nul.to_string().starts_with("the input contains U+0000"), "{nul}");
    // Six characters that stand for U+0000 in JSON are ordinary text.
    assert_eq!(Limits::default().check_payload("the input", Some("\"\\u0000\"")), Ok(()));
}

#[test]
fn names_and_tags_have_limits_of_their_own() {
    let limits = Limits { tags_bytes: 20, ..Limits::default() };
    assert_eq!(limits.check_name("the activity name", ""), Err(TooLarge::Empty { what: "the activity name" }));
    assert_eq!(limits.check_tags(&Tags::from([("team".into(), "blue".into())])), Ok(()));
    let many = Tags::from([("team".into(), "blue".into()), ("tier".into(), "1".into())]);
    assert!(limits.check_tags(&many).is_err());
    assert!(limits.check_tags(&Tags::from([("a".into(), "\0".into())])).is_err());
}

#[test]
fn ids_and_states_read_back_what_they_wrote() {
    let dispatch = DispatchId { turn: 12, index: 3 };
    assert_eq!(dispatch.to_string().parse(), Ok(dispatch));
    assert!("12".parse::<DispatchId>().is_err() && "a.b".parse::<DispatchId>().is_err());
    let execution: ExecutionId = "0123456789abcdef0123456789ABCDEF".parse().expect("32 hexadecimal digits");
    assert_eq!(execution.to_string(), "0123456789abcdef0123456789abcdef");
    assert_ne!(execution.next(1), execution.next(2));
    for status in OrchestrationStatus::ALL {
        assert_eq!(OrchestrationStatus::from_code(status.code()), Some(status));
        assert_eq!(status.to_string().to_lowercase().parse(), Ok(status));
    }
    let unknown = "Canceled".parse::<OrchestrationStatus>().expect_err("not one of ours");
    assert!(unknown.to_string().contains("use Pending"), "{unknown}");
}
