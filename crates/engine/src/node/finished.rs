//! What was begun is finished, although nobody waits for it any more.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Work that goes on in a task of its own when it is dropped half way, as when a client gives its call up. Who waits for
/// its end pays for no task.
pub(super) struct Finished<T: Send + 'static>(Option<Work<T>>);

/// Begins `work` with the first poll.
pub(super) fn finished<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Finished<T> {
    Finished(Some(Box::pin(work)))
}

impl<T: Send + 'static> Future for Finished<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(work) = &mut self.0 else { return Poll::Pending };
        let ended = work.as_mut().poll(context);
        if ended.is_ready() {
            self.0 = None;
        }
        ended
    }
}

impl<T: Send + 'static> Drop for Finished<T> {
    fn drop(&mut self) {
        // Without a runtime the process ends, and what it holds is taken over.
        if let Some(rest) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::sync::oneshot;

    use super::finished;

    #[tokio::test]
    async fn goes_on_when_it_is_dropped_half_way() {
        let (go, may_go) = oneshot::channel();
        let (done, is_done) = oneshot::channel();
        let mut work = Box::pin(finished(async move {
            let number: i32 = may_go.await.unwrap_or(0);
            // The test looks at what is left of the channel.
            let _ = done.send(number);
        }));
        assert_eq!(work.as_mut().now_or_never(), None);
        drop(work);
        go.send(7).expect("somebody waits");
        assert_eq!(is_done.await, Ok(7));
    }

    #[tokio::test]
    async fn whoever_waits_gets_the_result() {
        assert_eq!(finished(async { 7 }).await, 7);
    }
}
