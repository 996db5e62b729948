//! What a server answers instead, in the words of this crate.

use everdure_core::{BackendError, FailureDetails, InstanceId};
use everdure_proto::convert::Unusable;
use tonic::{Code, Status};

use crate::client::ClientError;

/// The server gave no answer, or one that is about it and not about what was asked.
pub(super) fn unanswered(address: &str, status: Status) -> BackendError {
    let message = status.message();
    match status.code() {
        Code::NotFound | Code::FailedPrecondition | Code::Unauthenticated | Code::PermissionDenied => {
            let context = format!("the server at {address} refused the call: {message}");
            BackendError::Refused { context, source: Some(status.into()) }
        }
        Code::Unimplemented => {
            let context = format!("the server at {address} does not know the call: is it an older version?");
            BackendError::Refused { context, source: Some(status.into()) }
        }
        Code::InvalidArgument | Code::OutOfRange | Code::ResourceExhausted => {
            let context = format!("the server at {address} cannot take this: {message}");
            BackendError::Invalid { context, source: Some(status.into()) }
        }
        code => {
            let context = format!("the server at {address} gave no answer ({code:?}: {message}): is it running?");
            BackendError::Unavailable { context, source: Some(status.into()) }
        }
    }
}

/// What a call about an instance was told instead of an answer.
pub(super) fn about(address: &str, id: &InstanceId, status: Status) -> ClientError {
    match status.code() {
        // An unknown task hub is not found either, and that is about the connection.
        Code::NotFound if !status.message().contains("task hub '") => ClientError::NotFound(id.clone()),
        _ => general(address, status),
    }
}

/// What any call was told instead of an answer.
pub(super) fn general(address: &str, status: Status) -> ClientError {
    match status.code() {
        Code::InvalidArgument | Code::OutOfRange | Code::ResourceExhausted => {
            ClientError::Rejected(FailureDetails::new("InvalidArgument", status.message()))
        }
        _ => ClientError::Backend(unanswered(address, status)),
    }
}

/// The answer cannot be read.
pub(super) fn unreadable(address: &str, unusable: Unusable) -> ClientError {
    let context = format!("the server at {address} answered something that this version cannot read");
    ClientError::Backend(BackendError::corrupt(context, unusable))
}
