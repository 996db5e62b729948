//! The calls of the protocol go past the router: there are tens of thousands a second, and one service to choose from.
//!
//! Health, reflection and what is plain HTTP go to the router as before.

use std::convert::Infallible;
use std::task::{Context, Poll};

use axum::http::{HeaderValue, Request, Response};
use everdure_proto::pb::task_hub_sidecar_service_server::TaskHubSidecarServiceServer;
use futures::FutureExt;
use futures::future::{Either, Map};
use tonic::body::Body;
use tower_service::Service as TowerService;

use crate::service::Service;

const PATH: &str = "/TaskHubSidecarService/";

type Server = TaskHubSidecarServiceServer<Service>;
type Answer = Result<Response<Body>, Infallible>;
type Named = Map<<Server as TowerService<Request<Body>>>::Future, fn(Answer) -> Answer>;

/// Adds the fast way to a router.
#[derive(Clone)]
pub(crate) struct PastTheRouter(pub Server);

impl<S> tower_layer::Layer<S> for PastTheRouter {
    type Service = Calls<S>;

    fn layer(&self, rest: S) -> Calls<S> {
        Calls { calls: self.0.clone(), rest }
    }
}

/// The service of the protocol, and the rest.
#[derive(Clone)]
pub(crate) struct Calls<S> {
    calls: Server,
    rest: S,
}

impl<S> TowerService<Request<Body>> for Calls<S>
where
    S: TowerService<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<Named, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The service of the protocol is always ready.
        self.rest.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path().starts_with(PATH) {
            return Either::Left(self.calls.call(request).map(name_too_large));
        }
        Either::Right(self.rest.call(request))
    }
}

/// A message above the limit: the transport calls it out of range, clients know it as an exhausted resource.
fn name_too_large(answer: Answer) -> Answer {
    const CODE: &str = "grpc-status";
    let code = |code: tonic::Code| HeaderValue::from(code as i32);
    answer.map(|mut response| {
        if response.headers().get(CODE).is_some_and(|found| found == code(tonic::Code::OutOfRange)) {
            response.headers_mut().insert(CODE, code(tonic::Code::ResourceExhausted));
        }
        response
    })
}
